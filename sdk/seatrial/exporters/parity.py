"""How near an exported artifact is to the torch model: signal to noise, largest error, agreement on the top class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ExportError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[Any]"]
EXACT_DB = 150.0  # stands for "no difference": infinity is no JSON number
OVERFLOW = "float16 overflows above 65504: export this model as fp32 or int8"
Run = Callable[[Arrays], Arrays]


def measure_parity(reference: Run, artifact: Run, samples: Sequence[Arrays]) -> dict[str, float]:
    """Return sqnr_db (the worst output's), max_abs, top1_agreement (first output of 2 or more dimensions) and samples.

    Both are called with inputs by name and give outputs by name. Raises ExportError when the artifact's outputs hold
    NaN where the reference's do not, or when their names or shapes differ.
    """
    pairs = [_pair(reference(sample), artifact(sample), i) for i, sample in enumerate(samples)]
    names = [name for name, value in pairs[0][0].items() if value.dtype.kind == "f"]
    figures = {"samples": float(sum(_batch(sample) for sample in samples))}
    if names:
        figures["sqnr_db"] = min(_sqnr_over(pairs, name) for name in names)
        figures["max_abs"] = max(_max_abs(first[name], second[name]) for first, second in pairs for name in names)
    if names and pairs[0][0][names[0]].ndim >= 2 and _classes(pairs[0][0][names[0]]) > 1:
        figures["top1_agreement"] = top1_agreement([(a[names[0]], b[names[0]]) for a, b in pairs])
    return figures


def sqnr_db(reference: NDArray[Any], found: NDArray[Any]) -> float:
    """Return 10 log10(sum r^2 / sum (r - f)^2), the signal-to-quantization-noise ratio; 150 stands for exact."""
    wide = reference.astype(np.float64)
    return ratio_db(float(np.sum(wide**2)), float(np.sum((wide - found) ** 2)))


def top1_agreement(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Return the part of decisions in which both have the same largest class.

    The classes are the last axis of (N, C) and (N, T, C) outputs, and axis 1 of (N, C, H, W) ones.
    """
    same = np.concatenate([(_choice(a) == _choice(b)).ravel() for a, b in pairs])
    return float(same.mean())


def relative_l2(reference: NDArray[Any], found: NDArray[Any]) -> float:
    """Return ||r - f|| / ||r||, 0 when both are all zero: what an agent compares with an output's tolerance."""
    wide = reference.astype(np.float64)
    norm, error = float(np.linalg.norm(wide)), float(np.linalg.norm(wide - found))
    return error / norm if norm > 0 else (0.0 if error == 0 else float("inf"))


def check_finite(outputs: Mapping[str, NDArray[Any]], where: str, advice: str) -> None:
    """Raise ExportError when an output holds NaN or infinity."""
    for name, value in outputs.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ExportError(f"{where}: output {name!r} holds NaN or infinity; {advice}")


def _pair(reference: Arrays, found: Arrays, index: int) -> tuple[Arrays, Arrays]:
    for name, value in reference.items():
        if name not in found or found[name].shape != value.shape:
            shape = list(found[name].shape) if name in found else "none"
            raise ExportError(f"sample {index}: output {name!r} is {shape} after export, {list(value.shape)} in torch")
    check_finite(found, f"sample {index}", OVERFLOW)
    return reference, found


def _sqnr_over(pairs: Sequence[tuple[Arrays, Arrays]], name: str) -> float:
    signal = sum(float(np.sum(a[name].astype(np.float64) ** 2)) for a, _ in pairs)
    noise = sum(float(np.sum((a[name].astype(np.float64) - b[name]) ** 2)) for a, b in pairs)
    return ratio_db(signal, noise)


def ratio_db(signal: float, noise: float) -> float:
    """Return 10 log10(signal / noise) of two energies, between -150 and 150, which stands for exact."""
    if noise <= signal * 10 ** (-EXACT_DB / 10):
        return EXACT_DB
    return max(-EXACT_DB, 10.0 * float(np.log10(max(signal, 1e-300) / noise)))


def _max_abs(reference: NDArray[Any], found: NDArray[Any]) -> float:
    return float(np.max(np.abs(reference.astype(np.float64) - found), initial=0.0))


def _classes(value: NDArray[Any]) -> int:
    return int(value.shape[1] if value.ndim >= 4 else value.shape[-1])


def _choice(value: NDArray[Any]) -> NDArray[np.int64]:
    chosen: NDArray[np.int64] = value.argmax(axis=1 if value.ndim >= 4 else -1)
    return chosen


def _batch(sample: Arrays) -> int:
    first = next(iter(sample.values()))
    return int(first.shape[0]) if first.ndim else 1
