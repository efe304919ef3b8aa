"""Outputs that the device gave against the golden ones: the agents' figures, computed here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from seatrial_targets.errors import BundleError

from ...bundle import Bundle
from ...manifest import TensorEntry
from ...records import OutputCheck

# What an output may deviate (relative L2) when its manifest says nothing: as strict as for the agents.
DEFAULT_TOLERANCE = 1e-3


def check_outputs(bundle: Bundle, outputs: Mapping[str, npt.NDArray[Any]]) -> tuple[tuple[OutputCheck, ...], str]:
    """Return the checks of all golden outputs, and what is wrong, or an empty string.

    ``outputs`` are flat, in C order. One that is missing or has another number of elements is wrong, and has no check.
    """
    checks: list[OutputCheck] = []
    for entry in bundle.manifest.outputs:
        golden = read_golden(bundle, entry)
        found = outputs.get(entry.name)
        if found is None or found.size != golden.size:
            has = "is missing" if found is None else f"has {found.size} elements, the golden one {golden.size}"
            return tuple(checks), f"output {entry.name!r} {has}"
        tolerance = DEFAULT_TOLERANCE if entry.tolerance is None else entry.tolerance
        checks.append(compare(entry.name, found, golden.reshape(-1), tolerance))
    return tuple(checks), next((_said(check, outputs[check.name].size) for check in checks if not check.ok), "")


def compare(name: str, got: npt.NDArray[Any], want: npt.NDArray[Any], tolerance: float) -> OutputCheck:
    """Return the check of one flat output against its golden value, in double precision.

    >>> compare("y", np.array([3.0, 4.0]), np.array([3.0, 5.0]), 0.2).rel_l2.__round__(4)
    0.1715
    """
    one, other = got.astype(np.float64), want.astype(np.float64)
    finite = np.isfinite(one) & np.isfinite(other)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    with np.errstate(invalid="ignore"):
        difference = np.where(finite, np.abs(one - other), np.where(same, 0.0, math.inf))
    nonfinite = int((np.isfinite(other) & ~np.isfinite(one)).sum())
    error = float(np.sqrt((difference**2).sum()))
    norm = float(np.sqrt((other[np.isfinite(other)] ** 2).sum()))
    relative = 0.0 if error == 0 else math.inf if norm == 0 else error / norm
    return OutputCheck(
        name=name,
        rel_l2=relative,
        max_abs=float(difference.max(initial=0.0)),
        nonfinite=nonfinite,
        argmax_equal=_argmax(one) == _argmax(other),
        tolerance=tolerance,
        ok=nonfinite == 0 and relative <= tolerance,
    )


def read_golden(bundle: Bundle, entry: TensorEntry) -> npt.NDArray[Any]:
    """Return a golden tensor of ``entry.golden_shape``. Raises BundleError when the file holds something else."""
    return _read_npy(bundle.file(entry.golden), entry)


def _read_npy(path: Path, entry: TensorEntry) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = np.load(path, allow_pickle=False)
    except (ValueError, OSError) as error:
        raise BundleError(f"{path}: is no .npy file that can be read ({error}); export the bundle again") from error
    if array.dtype.name != entry.dtype or array.shape != entry.golden_shape:
        raise BundleError(
            f"{path}: holds {array.dtype.name} {array.shape}, but tensor {entry.name!r} is {entry.dtype}"
            f" {entry.golden_shape}; export the bundle again"
        )
    return np.ascontiguousarray(array)


def _argmax(values: npt.NDArray[np.float64]) -> int:
    """The first of the highest; NaN is never the highest."""
    return int(np.argmax(np.where(np.isnan(values), -math.inf, values))) if values.size else 0


def _said(check: OutputCheck, count: int) -> str:
    if check.nonfinite:
        return (
            f"output {check.name!r}: {check.nonfinite} of {count} elements are NaN or infinite where the golden output"
            " is finite"
        )
    return (
        f"output {check.name!r} differs from the golden output: relative L2 error {check.rel_l2:.3g}, allowed"
        f" {check.tolerance:.3g} (largest difference {check.max_abs:.3g})"
    )
