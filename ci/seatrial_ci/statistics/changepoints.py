"""Where a series of figures changed its level: advisory, for the eye on a history, never for a verdict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from seatrial_ci.statistics.intervals import Floats

LEAST = 5  # figures on either side: a level of fewer is an anecdote
PERMUTATIONS = 999
ALPHA = 0.01


@dataclass(frozen=True)
class ChangePoint:
    """``index`` is the first figure of the new level, ``shift`` the ln of new level over old, ``p`` of chance."""

    index: int
    shift: float
    p: float


def change_points(figures: ArrayLike, alpha: float = ALPHA, seed: int = 0) -> tuple[ChangePoint, ...]:
    """Return where shape (n,) positive figures, in order of time, change their level, earliest first.

    Binary segmentation on ranks of the logs: the split with the greatest standardised difference of mean ranks,
    judged by permutations of the segment (Pettitt, A non-parametric approach to the change-point problem, Applied
    Statistics 28, 1979; hierarchical bisection with permutations as in Matteson and James, JASA 109, 2014). Ranks keep
    an outlier from being a level. The permutations are seeded: the same history gives the same answer. No level has
    fewer than 5 figures. Raises ValueError for figures that are not positive.
    """
    x = np.asarray(figures, dtype=np.float64)
    if not (np.isfinite(x) & (x > 0)).all():
        raise ValueError("figures must be positive and finite")
    rng = np.random.default_rng(seed)
    found = sorted(_split(np.log(x), 0, alpha, rng))
    ends = [0, *(index for index, _ in found), x.size]
    levels = [float(np.median(np.log(x[a:b]))) for a, b in pairwise(ends) if b > a]
    return tuple(ChangePoint(index, levels[k + 1] - levels[k], p) for k, (index, p) in enumerate(found))


def _split(logs: Floats, begin: int, alpha: float, rng: np.random.Generator) -> Iterator[tuple[int, float]]:
    """Yield (index, p) of the best split of a segment, if it is one, and of those within its halves."""
    if logs.size < 2 * LEAST:
        return
    ranks = _ranks(logs)
    at, size = _best(ranks)
    permuted = rng.permuted(np.tile(ranks, (PERMUTATIONS, 1)), axis=1)
    p = (1 + int((_scores(permuted).max(axis=1) >= size).sum())) / (PERMUTATIONS + 1)
    if p > alpha:
        return
    yield begin + at, p
    yield from _split(logs[:at], begin, alpha, rng)
    yield from _split(logs[at:], begin + at, alpha, rng)


def _ranks(values: Floats) -> Floats:
    """Return ranks from 1; equal values share their mean rank, or their order in time would look like a change."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: Floats = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return ranks


def _best(ranks: Floats) -> tuple[int, float]:
    scores = _scores(ranks[np.newaxis, :])[0]
    at = int(np.argmax(scores))
    return at + LEAST, float(scores[at])


def _scores(rows: Floats) -> Floats:
    """Return |difference of mean ranks| / its standard error up to a constant, shape (rows, n - 2 LEAST + 1)."""
    n = rows.shape[1]
    k = np.arange(LEAST, n - LEAST + 1)
    left = np.cumsum(rows, axis=1)[:, k - 1]
    total = rows.sum(axis=1, keepdims=True)
    difference = left / k - (total - left) / (n - k)
    scores: Floats = np.abs(difference) * np.sqrt(k * (n - k) / n)
    return scores
