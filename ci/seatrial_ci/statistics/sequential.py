"""The group-sequential rule: look at 8, 16, 32, 64 pairs, and stop as soon as the evidence is enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from seatrial_ci.statistics.mde import minimum_detectable_effect
from seatrial_ci.statistics.order import without_order
from seatrial_ci.statistics.trimmed import trimmed_mean

Decision = Literal["fail", "pass", "go on", "inconclusive"]


@dataclass(frozen=True)
class SequentialRule:
    """Fail above ``1 + ignore``, pass below ``1 + margin``; alpha and beta are split evenly over the looks.

    ``ignore`` and ``margin`` are relative (0.01 is +1 %). Between them lies the indifference zone, where either
    outcome is right.
    """

    ignore: float = 0.01
    margin: float = 0.05
    looks: tuple[int, ...] = (8, 16, 32, 64)
    alpha: float = 0.01
    beta: float = 0.01

    @property
    def limits(self) -> tuple[float, float]:
        """ln(1 + ignore), ln(1 + margin)."""
        return math.log1p(self.ignore), math.log1p(self.margin)

    def next_look(self, pairs: int) -> int | None:
        """Return the first look that needs more than ``pairs`` pairs; None when there is none."""
        return next((look for look in self.looks if look > pairs), None)


@dataclass(frozen=True)
class Look:
    """What one look saw, on the log scale: trimmed mean, its bounds, sd of the pairs, least detectable effect.

    ``sd`` is without the effect of the order where that was taken out.
    """

    pairs: int
    decision: Decision
    estimate: float
    low: float
    high: float
    sd: float
    se: float
    mde: float


@dataclass(frozen=True)
class Replay:
    """The looks in order; the last one decides. ``pairs_seen`` may exceed the pairs of the last look."""

    looks: tuple[Look, ...]
    pairs_seen: int
    wanted: int = 0  # further pairs until the next look; 0 when decided

    @property
    def decision(self) -> Decision:
        """What the last look decided; "go on" before the first."""
        return self.looks[-1].decision if self.looks else "go on"


def look_at(log_ratios: ArrayLike, rule: SequentialRule, order: ArrayLike | None = None) -> Look:
    """Judge exactly the given pairs, shape (pairs,), as one look of ``rule``.

    FAIL when the one-sided lower bound at 1 - alpha / looks exceeds ln(1 + ignore), PASS when the upper bound at
    1 - beta / looks is below ln(1 + margin). By Bonferroni's inequality the errors over all looks stay below alpha
    and beta. ``order`` is +1 for pairs in which the candidate came first, -1 for the others (see `without_order`).
    Raises ValueError for too few pairs.
    """
    x, lost = without_order(log_ratios, order)
    t = trimmed_mean(x, lost=lost)
    alpha, beta = rule.alpha / len(rule.looks), rule.beta / len(rule.looks)
    low, high = t.bounds(alpha, beta)
    ignore, margin = rule.limits
    last = rule.next_look(x.size) is None
    decision: Decision = "inconclusive" if last else "go on"
    if low > ignore:
        decision = "fail"
    elif high < margin:
        decision = "pass"
    mde = minimum_detectable_effect(t.se, t.df, alpha, rule.beta, ignore)
    return Look(x.size, decision, t.mean, low, high, float(x.std(ddof=1 + lost)), t.se, mde)


def replay(log_ratios: ArrayLike, rule: SequentialRule, order: ArrayLike | None = None) -> Replay:
    """Judge shape (pairs,) log-ratios, in the order measured, look by look, and stop at the first that decides.

    Pairs beyond that look are not used: recorded data so give what the live gate gave.
    """
    x = np.asarray(log_ratios, dtype=np.float64)
    firsts = None if order is None else np.asarray(order, dtype=np.float64)
    looks: list[Look] = []
    for pairs in _looks_within(rule.looks, x.size):
        looks.append(look_at(x[:pairs], rule, None if firsts is None else firsts[:pairs]))
        if looks[-1].decision != "go on":
            return Replay(tuple(looks), x.size)
    following = rule.next_look(x.size)
    return Replay(tuple(looks), x.size, 0 if following is None else following - x.size)


def _looks_within(looks: Sequence[int], pairs: int) -> list[int]:
    return [look for look in looks if look <= pairs]
