"""Other rules that people gate by, on the same runs: each takes samples of runs and says whether the build fails.

- mean + 10 %: one run of the new model against one that was stored (github-action-benchmark's ratio, at 110 %).
- Mann-Whitney: all samples of 10 new runs against those of 10 stored ones, one-sided, p < .01.
- Welch: the same, on the medians of the runs.
- Bencher's t-test: one new run's mean against the 30 before it; fails above mean + t(.99, 29) sd.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import stats

from gate_devices import Device, Floats, Session

RUNS, HISTORY, ALPHA = 10, 30, 0.01
Rule = Callable[[Floats, Floats], bool]


def mean_10(stored: Floats, new: Floats) -> bool:
    """Compare one run with one, shapes (1, samples)."""
    return bool(new.mean() > 1.10 * stored.mean())


def mann_whitney(stored: Floats, new: Floats) -> bool:
    """Compare pooled samples, shapes (10, samples)."""
    return bool(stats.mannwhitneyu(new.ravel(), stored.ravel(), alternative="greater").pvalue < ALPHA)


def welch(stored: Floats, new: Floats) -> bool:
    """Compare medians of runs, shapes (10, samples)."""
    sides = np.median(new, axis=1), np.median(stored, axis=1)
    return bool(stats.ttest_ind(*sides, equal_var=False, alternative="greater").pvalue < ALPHA)


def bencher(stored: Floats, new: Floats) -> bool:
    """Compare the mean of one run with the means of those before it, shapes (30, samples) and (1, samples)."""
    history = stored.mean(axis=1)
    return bool(new.mean() > history.mean() + stats.t.ppf(0.99, len(history) - 1) * history.std(ddof=1))


# Rule, stored runs, new runs.
RULES: dict[str, tuple[Rule, int, int]] = {
    "mean + 10 %": (mean_10, 1, 1),
    "Mann-Whitney, pooled": (mann_whitney, RUNS, RUNS),
    "Welch, stored baseline": (welch, RUNS, RUNS),
    "Bencher's t-test": (bencher, HISTORY, 1),
}


def simulated(name: str, device: Device, rng: np.random.Generator, effect: float) -> bool:
    """Return whether a rule fails a candidate; the stored runs are of an earlier session, Bencher's of one each."""
    rule, stored, new = RULES[name]
    if name.startswith("Bencher"):
        old = np.stack([Session(device, rng).solo(False) for _ in range(stored)])
    else:
        earlier = Session(device, rng)
        old = np.stack([earlier.solo(False) for _ in range(stored)])
    now = Session(device, rng, effect)
    return rule(old, np.stack([now.solo(True) for _ in range(new)]))


def recorded(name: str, runs: Floats, effect: float) -> tuple[int, int]:
    """Return (fails, times) of a rule on each stretch of recorded runs, shape (runs, samples); they overlap."""
    rule, stored, new = RULES[name]
    starts = range(len(runs) - stored - new + 1)
    fails = sum(rule(runs[i : i + stored], runs[i + stored : i + stored + new] * (1 + effect)) for i in starts)
    return fails, len(starts)
