"""May these numbers be used at all: enough samples for a percentile, no drift while they were taken."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import bdtr, stdtrit

# Per side and look. At 1 % a gate of noisy pairs was called drifting in 5 % of simulated steady trials.
DRIFT_ALPHA = 0.001


@dataclass(frozen=True)
class Support:
    """What a percentile needs: samples in each run, and runs for an interval over them."""

    samples: int
    runs: int


@cache
def support_of(level: float) -> Support:
    """Return what a percentile at ``level`` needs before it may be printed: p50 11, p90 64, p99 1000 samples per run.

    The least n with P(Binomial(n, 1 - level) <= 1) <= 1 %: with fewer samples, one that is dropped as an outlier may
    well be all there is beyond the percentile (MLPerf Inference, early stopping: 64 for p90, 662 for p99). From p99
    on, 10 samples beyond it in each of 10 runs: with fewer, simulated intervals miss the truth too often.
    """
    n = 2
    while float(bdtr(1, n, 1 - level)) > 0.01:
        n += 1
    if level >= 0.99:
        return Support(max(n, math.ceil(10 / (1 - level) - 1e-9)), 10)
    return Support(n, 2)


def thirds_log_ratio(samples: ArrayLike) -> float:
    """Return ln(median of the last third / median of the first third) of one run's samples, shape (n,), in order.

    0 for fewer than 6 samples or a third whose median is 0.
    """
    x = np.asarray(samples, dtype=np.float64)
    third = x.size // 3
    if third < 2:
        return 0.0
    first, last = float(np.median(x[:third])), float(np.median(x[-third:]))
    return math.log(last / first) if first > 0 and last > 0 else 0.0


def established_level(log_ratios: ArrayLike, alpha: float = DRIFT_ALPHA) -> float:
    """Return by how much the mean of shape (runs,) log-ratios surely differs from 0, with its sign; 0 if it may be 0.

    sign(m) max(0, |m| - t(1 - alpha, n - 1) s / sqrt(n)). One run drifts by chance on a noisy machine; that all of
    them drift the same way is what unfinished warm-up or throttling look like. 0 for fewer than 3 runs.
    """
    x = np.asarray(log_ratios, dtype=np.float64)
    if x.size < 3:
        return 0.0
    half = float(stdtrit(x.size - 1, 1 - alpha)) * float(x.std(ddof=1)) / math.sqrt(x.size)
    return _surely(float(x.mean()), half)


def established_trend(log_figures: ArrayLike, alpha: float = DRIFT_ALPHA) -> float:
    """Return by how much shape (runs,) log figures surely rise (or fall, negative) from the first run to the last.

    Least-squares slope times n - 1, less t(1 - alpha, n - 2) of its standard error; 0 if it may be 0, or n < 5.
    """
    y = np.asarray(log_figures, dtype=np.float64)
    n = y.size
    if n < 5:
        return 0.0
    x = np.arange(n) - (n - 1) / 2
    sxx = float(x @ x)
    slope = float(x @ y) / sxx
    residual = y - y.mean() - slope * x
    se = math.sqrt(float(residual @ residual) / (n - 2) / sxx)
    return _surely(slope * (n - 1), float(stdtrit(n - 2, 1 - alpha)) * se * (n - 1))


def _surely(estimate: float, half: float) -> float:
    return math.copysign(max(0.0, abs(estimate) - half), estimate)
