"""k-means in one dimension, for palettes of weights: the same result each time, in milliseconds.

A float16 weight has at most 65,536 different values. Sorted, with counts, a cluster is a run of them, its sum a
difference of two cumulative sums, and a round of Lloyd's algorithm costs a binary search for each centroid; coremltools
hands the values to scikit-learn one by one, which takes minutes for a model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_ROUNDS = 100


def palette(weight: NDArray[Any], bits: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return a table of 2^bits values (the dtype of ``weight``) and the index of each weight into it, flat.

    The table has the least squared error that Lloyd's algorithm finds from two beginnings: quantiles, and equal steps.
    """
    values, inverse, counts = np.unique(weight.astype(np.float64), return_inverse=True, return_counts=True)
    entries = 1 << bits
    if len(values) <= entries:
        table = np.concatenate([values, np.full(entries - len(values), values[-1])])
        return table.astype(weight.dtype), inverse.reshape(-1).astype(np.uint8)
    found = min((_lloyd(values, counts, start) for start in _beginnings(values, counts, entries)), key=lambda f: f[1])
    table = found[0].astype(weight.dtype)
    # The table is rounded to the weight's type; what is nearest is decided after that.
    nearest = _nearest(values, np.sort(table.astype(np.float64)))
    return np.sort(table), nearest[inverse.reshape(-1)].astype(np.uint8)


def _beginnings(values: NDArray[np.float64], counts: NDArray[np.int64], entries: int) -> list[NDArray[np.float64]]:
    middles = (np.arange(entries) + 0.5) / entries
    part = np.cumsum(counts) / counts.sum()
    return [values[np.searchsorted(part, middles)], values[0] + middles * (values[-1] - values[0])]


def _lloyd(
    values: NDArray[np.float64], counts: NDArray[np.int64], centroids: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return centroids and their squared error, from a beginning."""
    number, total = _summed(counts.astype(np.float64)), _summed(values * counts)
    for _ in range(MOST_ROUNDS):
        edges = np.searchsorted(values, (centroids[1:] + centroids[:-1]) / 2)
        low, high = np.concatenate([[0], edges]), np.concatenate([edges, [len(values)]])
        inside = number[high] - number[low]
        # A centroid without values stays where it is.
        moved = np.where(inside > 0, (total[high] - total[low]) / np.maximum(inside, 1), centroids)
        if np.array_equal(moved, centroids):
            break
        centroids = np.sort(moved)
    error = values - centroids[_nearest(values, centroids)]
    return centroids, float(np.sum(counts * error**2))


def _summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(values)])


def _nearest(values: NDArray[np.float64], table: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.searchsorted((table[1:] + table[:-1]) / 2, values)
