"""From the histogram of an activation to its range: the part of the values that is worth its levels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...exporters.calibration import SHRINKS, by_entropy, by_percentile

if TYPE_CHECKING:
    from numpy.typing import NDArray

Range = tuple[float, float]


def chosen_range(
    observer: str, counts: NDArray[np.int64], extremes: Range, *, percentile: float, levels: int, symmetric: bool
) -> Range:
    """Return (low, high) by the observer "minmax", "percentile", "entropy" or "mse".

    ``counts``: histogram of equal bins over ``extremes``, the smallest and the largest value. ``levels``: how many
    integers there are over the range; ``symmetric``: the range will be made the same on both sides of 0.
    """
    if observer == "percentile":
        return by_percentile(counts, extremes, percentile)
    if observer == "entropy":
        return by_entropy(counts, extremes)
    if observer == "mse":
        return by_mse(counts, extremes, levels, symmetric)
    return extremes


def by_mse(counts: NDArray[np.int64], extremes: Range, levels: int, symmetric: bool) -> Range:
    """Return the range, shrunk towards 0 on both sides alike, with the least mean squared error.

    A value inside is off by a step's uniform error, step^2 / 12; one outside by its distance to the end.
    """
    low, high = min(extremes[0], 0.0), max(extremes[1], 0.0)
    if high <= low or counts.sum() == 0:
        return extremes
    edges = np.linspace(*extremes, len(counts) + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    errors = [_error(counts, centres, low * part, high * part, levels, symmetric) for part in SHRINKS]
    best = float(SHRINKS[int(np.argmin(errors))])
    return low * best, high * best


def _error(
    counts: NDArray[np.int64], centres: NDArray[np.float64], low: float, high: float, levels: int, symmetric: bool
) -> float:
    if symmetric:
        # The same step on both sides; a tensor without negative values uses half of the levels.
        high = max(-low, high)
        low = -high
    step = (high - low) / levels
    outside = np.maximum(np.maximum(low - centres, centres - high), 0.0)
    return float(np.sum(counts * np.where(outside > 0, outside**2, step**2 / 12)))
