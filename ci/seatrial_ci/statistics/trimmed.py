"""The 20 %-trimmed mean and its t: outlier runs move it little, and it keeps its error rates where a mean does not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

TRIM = 0.2


@dataclass(frozen=True)
class TrimmedMean:
    """Trimmed mean, its standard error and the degrees of freedom of its t, from ``n`` values."""

    mean: float
    se: float
    df: int
    n: int

    def bounds(self, alpha: float, beta: float) -> tuple[float, float]:
        """Return the lower bound at one-sided 1 - alpha and the upper bound at one-sided 1 - beta."""
        return (
            self.mean - float(stdtrit(self.df, 1 - alpha)) * self.se,
            self.mean + float(stdtrit(self.df, 1 - beta)) * self.se,
        )


def trimmed_mean(values: ArrayLike, trim: float = TRIM, lost: int = 0) -> TrimmedMean:
    """Return the mean of shape (n,) values without the g = floor(trim n) least and greatest, with Yuen's error.

    se = s_w sqrt((n - 1) / (h (h - 1))), where s_w is the sd (ddof 1) of the winsorized values and h = n - 2 g;
    df = h - 1 (K. K. Yuen, The two-sample trimmed t for unequal population variances, Biometrika 61, 1974).
    ``lost`` counts what was estimated from the values and taken out of them before: the spread is then of ddof
    1 + lost, and df = h - 1 - lost, as in a regression. Raises ValueError when fewer than 2 + lost values are left.
    """
    x = np.sort(np.asarray(values, dtype=np.float64))
    n = x.size
    g = int(trim * n)
    h = n - 2 * g
    if h < 2 + lost:
        raise ValueError(f"{n} values; at least {2 + lost} must be left after trimming")
    spread = float(np.clip(x, x[g], x[n - g - 1]).std(ddof=1 + lost))
    return TrimmedMean(float(x[g : n - g].mean()), spread * math.sqrt((n - 1) / (h * (h - 1))), h - 1 - lost, n)
