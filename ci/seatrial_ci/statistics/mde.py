"""What the noise lets one see: the minimum detectable effect, and the pairs that a smaller one would take."""

from __future__ import annotations

import math

from scipy.special import ndtri, stdtrit

TRIMMED_EFFICIENCY = 0.93


def minimum_detectable_effect(se: float, df: int, alpha: float, beta: float, ignore: float = 0.0) -> float:
    """Return the least true log-ratio that is called a regression with probability 1 - beta.

    ignore + (t(1 - alpha, df) + t(1 - beta, df)) se: the standard two-quantile formula for a one-sided t-test
    (e.g. Bloom, Minimum Detectable Effects, Evaluation Review 19, 1995). ``se`` and ``ignore`` are on the log scale.
    """
    return ignore + (float(stdtrit(df, 1 - alpha)) + float(stdtrit(df, 1 - beta))) * se


def pairs_needed(sd: float, effect: float, alpha: float = 0.01, beta: float = 0.01) -> int:
    """Return how many pairs of log-ratio sd ``sd`` detect ``effect`` (log scale, beyond what is ignored).

    The least n with (t(1 - alpha, h - 1) + t(1 - beta, h - 1)) sd / sqrt(.93 n) <= effect, where h = n - 2 floor(n / 5)
    are left after trimming and .93 is the efficiency of the 20 %-trimmed mean under normal noise (Wilcox,
    Introduction to Robust Estimation, 2012, 3.3). Raises ValueError for an effect that is not positive.
    """
    if effect <= 0:
        raise ValueError("the effect must be positive")
    scale = sd / effect / math.sqrt(TRIMMED_EFFICIENCY)
    n = max(5, math.floor((float(ndtri(1 - alpha) + ndtri(1 - beta)) * scale) ** 2))
    while _quantiles(n, alpha, beta) * scale > math.sqrt(n):
        n += 1
    return n


def _quantiles(pairs: int, alpha: float, beta: float) -> float:
    df = pairs - 2 * (pairs // 5) - 1
    return float(stdtrit(df, 1 - alpha)) + float(stdtrit(df, 1 - beta))
