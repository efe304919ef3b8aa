"""What every exporter puts into a bundle beside its artifact: golden files, their entries, the toolchain's versions."""

from __future__ import annotations

import io
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_runner.bundle import Content

from ..version import __version__

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[Any]"]


def tensor_entries(
    kind: str, arrays: Arrays, shapes: Mapping[str, tuple[int | str, ...]], tolerances: Mapping[str, float]
) -> tuple[dict[str, Any], ...]:
    """Return the manifest's entries of the inputs or outputs (``kind``), whose golden values are ``arrays``."""
    return tuple(
        {
            "name": name,
            "dtype": str(array.dtype),
            "shape": shapes[name],
            "golden_shape": array.shape,
            "golden": f"golden/{kind}_{i}.npy",
            "tolerance": tolerances.get(name),
        }
        for i, (name, array) in enumerate(arrays.items())
    )


def golden_files(inputs: Arrays, outputs: Arrays, reference: Arrays) -> dict[str, Content]:
    """Return the golden files by path; ``reference`` is what torch answers to the same inputs."""
    found = {f"golden/input_{i}.npy": Content("golden_input", npy(each)) for i, each in enumerate(inputs.values())}
    found |= {f"golden/output_{i}.npy": Content("golden_output", npy(each)) for i, each in enumerate(outputs.values())}
    for i, each in enumerate(reference.values()):
        found[f"golden/reference_{i}.npy"] = Content("reference_output", npy(each))
    return found


def npy(array: Any) -> bytes:
    """Return an array as a .npy file, C-contiguous and without pickle."""
    stream = io.BytesIO()
    # ascontiguousarray alone would make a scalar a vector.
    np.save(stream, np.ascontiguousarray(array).reshape(np.shape(array)), allow_pickle=False)
    return stream.getvalue()


def toolchain(*packages: str) -> dict[str, str]:
    """Return the versions of Seatrial, torch, numpy and those ``packages``."""
    return {"seatrial": __version__, **{name: version(name) for name in ("torch", "numpy", *packages)}}
