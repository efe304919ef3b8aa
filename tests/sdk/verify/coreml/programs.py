"""Tiny ML programs: written with coremltools' builder, saved as packages, read back and executed by the evaluator."""

from __future__ import annotations

import contextlib
import io
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seatrial.verify.coreml import library
from seatrial.verify.coreml.evaluator import Evaluator
from seatrial.verify.coreml.package import Package

ct = library.load()

from coremltools.converters.mil.converter import mil_convert  # noqa: E402
from coremltools.converters.mil.mil import Builder as mb  # noqa: E402, N813 - its usual name
from coremltools.converters.mil.mil import Function, Program, types  # noqa: E402

TYPES = {
    torch.float32: types.fp32, torch.float16: types.fp16, torch.int32: types.int32, torch.bool: types.bool,
    torch.int8: types.int8, torch.uint8: types.uint8,
}  # fmt: skip
# Without the passes that fold constants and rewrite operations, what is built is what is saved.
NO_PASSES = ct.PassPipeline.EMPTY


def saved(
    build: Callable[..., Any], inputs: Mapping[str, torch.Tensor], folder: Path, ios: int = 17, **extra: Any
) -> Path:
    """Save the program that ``build`` makes of Vars named as ``inputs``, for the Core ML of iOS ``ios``."""
    target = getattr(ct.target, f"iOS{ios}")
    program, placeholders = Program(), {}
    for name, value in inputs.items():
        # Core ML exchanges no bool and no 8-bit integers, so that those begin with a cast.
        given = value.dtype if value.dtype in (torch.float32, torch.float16, torch.int32) else torch.int32
        placeholders[name] = mb.placeholder(shape=extra.pop(f"shape_{name}", tuple(value.shape)), dtype=TYPES[given])
    with library.quiet(), Function(placeholders, opset_version=target) as function:
        names = {torch.bool: "bool", torch.int8: "int8", torch.uint8: "uint8"}
        variables = {
            name: mb.cast(x=variable, dtype=names[inputs[name].dtype]) if inputs[name].dtype in names else variable
            for name, variable in function.inputs.items()
        }
        made = build(**variables)
        function.set_outputs([mb.identity(x=each, name=f"y{i}") for i, each in enumerate(_listed(made))])
        program.add_function("main", function)
    path = folder / "model.mlpackage"
    # Not ct.convert: that ends with a garbage collection, which takes longer than all the rest here.
    with library.quiet(), contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Implicitly cleaning up", ResourceWarning)  # coremltools forgets a folder
        mil_convert(
            program, convert_from="milinternal", convert_to="mlprogram", compute_units=ct.ComputeUnit.CPU_ONLY,
            specification_version=target.value, main_pipeline=NO_PASSES, skip_model_load=True, package_dir=str(path),
        )  # fmt: skip
    return path


def _listed(made: Any) -> list[Any]:
    return list(made) if isinstance(made, list | tuple) else [made]


def evaluated(
    build: Callable[..., Any], inputs: Mapping[str, torch.Tensor], ios: int = 17, **extra: Any
) -> list[torch.Tensor]:
    """Return what the evaluator yields for that program, saved and read back, output by output."""
    with tempfile.TemporaryDirectory() as folder:
        package = Package(saved(build, inputs, Path(folder), ios, **extra))
        found = Evaluator(package).run(inputs)
    return [found[name] for name in package.function.block.results]


def check(found: list[torch.Tensor], wanted: list[torch.Tensor], rtol: float = 1e-5, atol: float = 1e-5) -> None:
    """Require equal shapes, and values within the tolerance; infinities and NaN at the same places."""
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert tuple(one.shape) == tuple(other.shape)
        np.testing.assert_allclose(one.double().numpy(), other.double().numpy(), rtol=rtol, atol=atol)
