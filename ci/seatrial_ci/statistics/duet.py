"""The figure of a duet run: how much slower one bundle is than the other, with the machine's mood cancelled."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from seatrial_ci.statistics.intervals import Floats


def quadruple_log_ratios(candidate_ns: ArrayLike, baseline_ns: ArrayLike) -> Floats:
    """Return ln(candidate / baseline) of each quadruple A B B A, shape (quadruples,).

    Samples ``2k`` and ``2k + 1`` of each bundle, in the order taken, belong to quadruple ``k``; the two of a bundle
    are added, so a linear drift within the quadruple cancels whichever bundle came first. Incomplete quadruples
    at the end are dropped. Raises ValueError for a sample that is not positive: the clock is too coarse or broken.

    >>> quadruple_log_ratios([2, 2, 9], [1, 1, 9, 9]).round(4)
    array([0.6931])
    """
    candidate, baseline = _pairs(candidate_ns), _pairs(baseline_ns)
    whole = min(len(candidate), len(baseline))
    if whole and min(candidate[:whole].min(), baseline[:whole].min()) <= 0:
        raise ValueError("a sample is not positive: the clock is too coarse or went backwards")
    ratios: Floats = np.log(candidate[:whole].sum(axis=1) / baseline[:whole].sum(axis=1))
    return ratios


def duet_log_ratio(candidate_ns: ArrayLike, baseline_ns: ArrayLike) -> float:
    """Return the figure of one duet run: the median over its quadruples of ln(candidate / baseline).

    Positive: the candidate is slower. On a shared 2-core virtual machine its sd between runs was .8 %, where that of
    the ratio of two separate runs was 10 %. The idea of running side by side: Bulej et al., Duet Benchmarking,
    ICPE 2020; alternating single inferences in one process is what suits a device with few cores.
    Raises ValueError without a whole quadruple.
    """
    ratios = quadruple_log_ratios(candidate_ns, baseline_ns)
    if ratios.size == 0:
        raise ValueError("not one whole quadruple of inferences")
    return float(np.median(ratios))


def _pairs(samples: ArrayLike) -> Floats:
    x = np.asarray(samples, dtype=np.float64)
    return x[: x.size // 2 * 2].reshape(-1, 2)
