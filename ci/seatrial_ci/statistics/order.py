"""The effect of who comes first: the bundle that is loaded first in a duet, or run first in a pair, may be slower.

The order is swapped from pair to pair, so that the effect cancels in the mean. But it stays in the spread, and widens
every bound: on a shared virtual machine whichever model was loaded first was 1.2 % slower, and successive duets were
correlated by -.36. Taking it out costs one degree of freedom.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from seatrial_ci.statistics.intervals import Floats
from seatrial_ci.statistics.trimmed import trimmed_mean

# With 8 pairs a lost degree of freedom widens the bounds by 19 %, more than an order effect of half the noise does;
# from 16 on it costs nothing that could be seen in simulations.
LEAST_PAIRS = 12
LEAST_OF_EACH = 4


def order_effect(log_ratios: ArrayLike, order: ArrayLike) -> float | None:
    """Return half the difference between pairs in which the candidate came first and the others; None if too few.

    ``order`` of shape (n,) is +1 where the candidate came first, else -1. Each side is a 20 %-trimmed mean, so that a
    disturbed pair does not make an order effect. None for fewer than 12 pairs, or than 4 of one order.
    """
    x, s = np.asarray(log_ratios, dtype=np.float64), np.asarray(order, dtype=np.float64)
    first, second = x[s > 0], x[s < 0]
    if x.size < LEAST_PAIRS or min(first.size, second.size) < LEAST_OF_EACH:
        return None
    return (trimmed_mean(first).mean - trimmed_mean(second).mean) / 2


def without_order(log_ratios: ArrayLike, order: ArrayLike | None) -> tuple[Floats, int]:
    """Return the log-ratios, shape (n,), without the effect of the order, and how many degrees of freedom that took.

    x - s delta: the model x = mu + s delta + noise of a crossover design, in which each pair is a period of one of
    two sequences (Jones and Kenward, Design and Analysis of Cross-Over Trials, 2nd ed. 2003, chapter 2). Unchanged,
    and 0, where there are too few pairs to know the effect, or the order is not known (None).
    """
    x = np.asarray(log_ratios, dtype=np.float64)
    effect = None if order is None else order_effect(x, order)
    if effect is None:
        return x, 0
    return x - np.asarray(order, dtype=np.float64) * effect, 1
