"""Interval of a percentile within one run, when successive samples resemble each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PercentileInterval:
    """Estimate and bounds in the unit of the samples; ``high`` is inf (``low`` 0) where the samples can't bound it."""

    estimate: float
    low: float
    high: float
    effective_samples: float


def quantile(samples: ArrayLike, level: float) -> float:
    """Return the quantile of shape (n,) samples by linear interpolation, as `numpy.quantile` does, bit for bit.

    Numpy's own takes ten times as long for the few hundred samples of a run, and a verdict asks for hundreds of them.
    Raises ValueError without samples.
    """
    x = np.sort(np.asarray(samples, dtype=np.float64))
    if x.size == 0:
        raise ValueError("no samples")
    place = level * (x.size - 1)
    below = math.floor(place)
    low, high = float(x[below]), float(x[min(below + 1, x.size - 1)])
    part = place - below
    return high - (high - low) * (1 - part) if part >= 0.5 else low + (high - low) * part


def autocorrelation_time(series: ArrayLike) -> float:
    """Return tau = 1 + 2 sum(rho_k), at least 1, of a series of shape (n,); 1 for a constant series.

    The sum ends by Geyer's initial positive sequence: pairs rho_2m + rho_2m+1 are added while they are positive
    (C. J. Geyer, Practical Markov Chain Monte Carlo, Statistical Science 7, 1992, section 3.3).
    """
    x = np.asarray(series, dtype=np.float64)
    n = x.size
    x = x - x.mean() if n else x
    power = float(x @ x)
    if n < 4 or power <= 0:
        return 1.0
    spectrum = np.fft.rfft(x, 2 * n)
    rho = np.fft.irfft(spectrum * spectrum.conj())[:n] / power
    pairs = rho[: n // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    kept = pairs[: ends[0]] if ends.size else pairs
    return max(1.0, float(2 * kept.sum() - 1))


def effective_sample_size(samples: ArrayLike, threshold: float) -> float:
    """Return n / tau of the indicator 1(x <= threshold): how many independent samples these are worth for it."""
    x = np.asarray(samples, dtype=np.float64)
    return x.size / autocorrelation_time(x <= threshold)


def percentile_interval(samples: ArrayLike, level: float, confidence: float = 0.95) -> PercentileInterval:
    """Return the percentile at ``level`` (0.9 for p90) of shape (n,) samples and its two-sided interval.

    The bounds are order statistics, their ranks those of the binomial distribution by normal approximation,
    level +- z sqrt(level (1 - level) / n_eff) (David & Nagaraja, Order Statistics, 7.1), with n replaced by the
    effective sample size. It is of a single run and knows nothing of how runs differ from each other.
    Raises ValueError without samples.
    """
    x = np.sort(np.asarray(samples, dtype=np.float64))
    if x.size == 0:
        raise ValueError("no samples")
    estimate = float(np.quantile(x, level))
    worth = effective_sample_size(samples, estimate)
    half = float(ndtri(0.5 + confidence / 2)) * math.sqrt(level * (1 - level) / worth)
    low, high = math.floor((level - half) * x.size) - 1, math.ceil((level + half) * x.size)
    return PercentileInterval(
        estimate,
        float(x[low]) if low >= 0 else 0.0,
        float(x[high]) if high < x.size else math.inf,
        worth,
    )
