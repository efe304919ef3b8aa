"""Interval of a figure over runs: the run, a fresh process, is the replicate."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit


@dataclass(frozen=True)
class RunInterval:
    """Geometric mean over runs and its one-sided bounds, in the unit of the figures; ``sd`` is on the log scale."""

    estimate: float
    low: float
    high: float
    sd: float
    runs: int


def run_interval(figures: ArrayLike, alpha: float) -> RunInterval:
    """Return exp(m +- t(1 - alpha, n - 1) s / sqrt(n)) of the logs of shape (n,) positive per-run figures.

    Each bound is one-sided at 1 - alpha, so both together are a two-sided 1 - 2 alpha interval. The log scale makes
    noise relative and keeps bounds positive. Student's t-interval. Raises ValueError for n < 2 or figures <= 0.
    """
    x = np.asarray(figures, dtype=np.float64)
    if x.size < 2:
        raise ValueError(f"{x.size} runs; at least 2 are needed for an interval")
    if not (np.isfinite(x) & (x > 0)).all():
        raise ValueError("figures must be positive and finite")
    if (x == x[0]).all():  # exact, where exp(log(x)) is not: a figure equal to its budget keeps it
        return RunInterval(float(x[0]), float(x[0]), float(x[0]), 0.0, x.size)
    logs = np.log(x)
    sd = float(logs.std(ddof=1))
    half = float(stdtrit(x.size - 1, 1 - alpha)) * sd / math.sqrt(x.size)
    mean = float(logs.mean())
    return RunInterval(math.exp(mean), math.exp(mean - half), math.exp(mean + half), sd, x.size)
