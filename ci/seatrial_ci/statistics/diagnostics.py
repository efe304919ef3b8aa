"""What is odd about a series of figures: outliers, and neighbours that resemble each other. Told, never decided by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from seatrial_ci.statistics.intervals import Floats
from seatrial_ci.statistics.trimmed import TRIM

OUTLYING = 3.5
MAD_TO_SD = 1.4826  # of a normal distribution
LEAST = 5


@dataclass(frozen=True)
class Outliers:
    """Indices of those that stand out, and whether they are more on one side than a trimmed mean leaves out."""

    indices: tuple[int, ...]
    too_many: bool


def outliers(values: ArrayLike, threshold: float = OUTLYING, trim: float = TRIM) -> Outliers:
    """Return which of shape (n,) values stand out: |x - median| > threshold x 1.4826 median(|x - median|).

    The Hampel identifier with the modified z-score's 3.5 (Davies and Gather, The identification of multiple outliers,
    JASA 88, 1993; Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993). Up to half of the values may be
    outliers before it is misled. None for fewer than 5 values, or where more than half are equal.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size < LEAST:
        return Outliers((), False)
    distance = x - np.median(x)
    scale = MAD_TO_SD * float(np.median(np.abs(distance)))
    if scale <= 0:
        return Outliers((), False)
    above, below = distance > threshold * scale, distance < -threshold * scale
    left_out = int(trim * x.size)
    return Outliers(
        tuple(int(i) for i in np.flatnonzero(above | below)), max(int(above.sum()), int(below.sum())) > left_out
    )


def lag_one(values: ArrayLike) -> float:
    """Return the correlation of shape (n,) values with their successors: sum(d_i d_i+1) / sum(d_i^2), d = x - mean.

    0 for fewer than 3 values or equal ones. Box, Jenkins and Reinsel, Time Series Analysis, 2.1.5.
    """
    x = np.asarray(values, dtype=np.float64)
    d = x - x.mean() if x.size else x
    power = float(d @ d)
    return float(d[:-1] @ d[1:]) / power if x.size > 2 and power > 0 else 0.0


def resembles_itself(values: ArrayLike, alpha: float = 0.01) -> float:
    """Return the lag-1 correlation of shape (n,) values if it is surely positive, else 0.

    Under independence r is about normal with mean -1 / n and variance 1 / n (Anderson 1942). Positive correlation
    makes bounds too narrow: n values are worth about n (1 - r) / (1 + r).
    """
    x: Floats = np.asarray(values, dtype=np.float64)
    r = lag_one(x)
    least = -1 / max(x.size, 1) + float(ndtri(1 - alpha)) / math.sqrt(max(x.size, 1))
    return r if x.size >= LEAST and r > least else 0.0
