"""Interval of a figure over runs: the run, a fresh process, is the replicate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class LogRatio:
    """ln(one / other) of two sets of figures, its one-sided bounds, and the sd between runs, pooled."""

    estimate: float
    low: float
    high: float
    sd: float


def log_ratio_interval(one: ArrayLike, other: ArrayLike, alpha: float, beta: float) -> LogRatio:
    """Return ln(one / other) of shape (n,) and (m,) positive per-run figures: lower bound at 1 - alpha, upper 1 - beta.

    Welch's t on the logs, Welch-Satterthwaite degrees of freedom (B. L. Welch, The generalization of Student's
    problem when several different population variances are involved, Biometrika 34, 1947). Raises ValueError for
    fewer than 2 figures on a side or figures that are not positive.
    """
    sides = [np.asarray(values, dtype=np.float64) for values in (one, other)]
    if min(x.size for x in sides) < 2:
        raise ValueError(f"{sides[0].size} and {sides[1].size} runs; at least 2 of each are needed")
    if not all((np.isfinite(x) & (x > 0)).all() for x in sides):
        raise ValueError("figures must be positive and finite")
    logs = [np.log(x) for x in sides]
    parts = [float(x.var(ddof=1)) / x.size for x in logs]
    estimate, total = float(logs[0].mean() - logs[1].mean()), sum(parts)
    if total == 0:
        return LogRatio(estimate, estimate, estimate, 0.0)
    df = total**2 / sum(part**2 / (x.size - 1) for part, x in zip(parts, logs, strict=True))
    low, high = (float(stdtrit(df, 1 - level)) * math.sqrt(total) for level in (alpha, beta))
    return LogRatio(estimate, estimate - low, estimate + high, _pooled_sd(logs))


def _pooled_sd(logs: Sequence[np.ndarray[Any, Any]]) -> float:
    squares = sum(float(((x - x.mean()) ** 2).sum()) for x in logs)
    return math.sqrt(squares / sum(x.size - 1 for x in logs))


def run_interval(figures: ArrayLike, alpha: float, beta: float | None = None) -> RunInterval:
    """Return exp(m +- t(1 - level, n - 1) s / sqrt(n)) of the logs of shape (n,) positive per-run figures.

    The lower bound is one-sided at 1 - alpha, the upper at 1 - beta (alpha, where it is None), so that with one level
    both together are a two-sided 1 - 2 alpha interval. The log scale makes noise relative and keeps bounds positive.
    Student's t-interval. Raises ValueError for n < 2 or figures <= 0.
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
    below, above = (float(stdtrit(x.size - 1, 1 - p)) * sd / math.sqrt(x.size) for p in (alpha, beta or alpha))
    mean = float(logs.mean())
    return RunInterval(math.exp(mean), math.exp(mean - below), math.exp(mean + above), sd, x.size)
