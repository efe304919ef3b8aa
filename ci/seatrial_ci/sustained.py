"""Figures of a sustained run: the first minute against the last, when it began to slow down, and where it settled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seatrial_ci.statistics.intervals import Floats
from seatrial_runner.records import ArmResult

SLOWER = 1.05  # of the first minute's median: what counts as throttled
WINDOW_S = 5.0  # within which a median is taken
STEADY_PART = 0.2  # of the run, at its end


@dataclass(frozen=True)
class SustainedFigures:
    """Medians in ns, times in seconds from the run's beginning.

    ``slow_after_s`` is when the median of 5 s first exceeded that of the first minute by 5 %, never to return below it;
    None: it never did. ``steady_ns`` is the median of the last fifth, and ``steady`` tells whether it is one: whether
    that fifth's halves agree within 2 %.
    """

    seconds: float
    inferences: int
    first_minute_ns: float
    last_minute_ns: float
    steady_ns: float
    steady: bool
    slow_after_s: float | None

    @property
    def change(self) -> float:
        """The last minute's median over the first's, less 1."""
        return self.last_minute_ns / self.first_minute_ns - 1


def sustained_figures(arm: ArmResult) -> SustainedFigures | str:
    """Return the figures of a sustained run, or the reason why there are none, as for one of less than 2 minutes."""
    wall, at = np.asarray(arm.wall_ns, dtype=np.float64), np.asarray(arm.at_ns, dtype=np.float64)
    if wall.size < 20 or at.size != wall.size:
        return f"only {wall.size} inferences were kept"
    seconds = (at - at[0]) / 1e9
    total = float(seconds[-1])
    if total < 119:
        return f"it lasted {total:.0f} s, and has no first and last minute apart; --sustain 2min at least"
    first = float(np.median(wall[seconds < 60]))
    tail = wall[seconds >= (1 - STEADY_PART) * total]
    halves = [float(np.median(half)) for half in np.array_split(tail, 2)]
    return SustainedFigures(
        seconds=total,
        inferences=arm.inferences or int(wall.size),
        first_minute_ns=first,
        last_minute_ns=float(np.median(wall[seconds >= total - 60])),
        steady_ns=float(np.median(tail)),
        steady=abs(halves[1] / halves[0] - 1) < 0.02,
        slow_after_s=_slow_after(seconds, wall, SLOWER * first),
    )


def _slow_after(seconds: Floats, wall: Floats, limit: float) -> float | None:
    windows = np.floor(seconds / WINDOW_S).astype(int)
    medians = [(window, float(np.median(wall[windows == window]))) for window in np.unique(windows)]
    fast = [index for index, (_, median) in enumerate(medians) if median <= limit]
    after = fast[-1] + 1 if fast else 0
    return None if after >= len(medians) else float(medians[after][0] * WINDOW_S)
