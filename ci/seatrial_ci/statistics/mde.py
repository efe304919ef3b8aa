"""What the noise lets one see: the minimum detectable effect, and the pairs that a smaller one would take."""

from __future__ import annotations

import math

from scipy.special import ndtri, stdtrit


def minimum_detectable_effect(se: float, df: int, alpha: float, beta: float, ignore: float = 0.0) -> float:
    """Return the least true log-ratio that is called a regression with probability 1 - beta.

    ignore + (t(1 - alpha, df) + t(1 - beta, df)) se: the standard two-quantile formula for a one-sided t-test
    (e.g. Bloom, Minimum Detectable Effects, Evaluation Review 19, 1995). ``se`` and ``ignore`` are on the log scale.
    """
    return ignore + (float(stdtrit(df, 1 - alpha)) + float(stdtrit(df, 1 - beta))) * se


def pairs_needed(sd: float, effect: float, alpha: float = 0.01, beta: float = 0.01) -> int:
    """Return how many pairs of log-ratio sd ``sd`` detect ``effect`` (log scale, beyond what is ignored).

    ((z(1 - alpha) + z(1 - beta)) sd / effect)^2 / .93, where .93 is the efficiency of the 20 %-trimmed mean under
    normal noise against the mean (Wilcox, Introduction to Robust Estimation, 2012, 3.3), plus 2 for the
    unknown variance. Raises ValueError for an effect that is not positive.
    """
    if effect <= 0:
        raise ValueError("the effect must be positive")
    z = float(ndtri(1 - alpha) + ndtri(1 - beta))
    return math.ceil((z * sd / effect) ** 2 / 0.93) + 2
