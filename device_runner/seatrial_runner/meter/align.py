"""Lay power readings of another clock over a run: by the edges of the power when the burst began and ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..records import EnergyWindows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

STEP_NS = 2_000_000  # how finely shifts are tried: 2 ms of 10 s are .02 %
LEAST_CONTRAST = 4.0  # of burst against idle, in standard deviations of what idle does over the same time
LEAST_RISE = 0.01  # of the idle power


def shift_between(times_ns: Sequence[int], power_uw: Sequence[float], windows: EnergyWindows) -> int | str:
    """Return what is to be added to ``times_ns`` so that they are in the windows' clock, or why that can't be told.

    The right shift is the one at which the mean power of the burst exceeds that of the idle windows most (a matched
    filter for idle-burst-idle). Nothing is assumed of how the two clocks were set, only that they run at one rate.
    """
    import numpy as np

    if len(times_ns) < 20:
        return f"only {len(times_ns)} readings came"
    t = np.asarray(times_ns, dtype=np.float64)
    p = np.asarray(power_uw, dtype=np.float64)
    edges = np.asarray([*windows.idle_before, *windows.burst[1:], *windows.idle_after[1:]], dtype=np.float64)
    span = edges[-1] - edges[0]
    if t[-1] - t[0] < span:
        return f"the readings span {(t[-1] - t[0]) / 1e9:.1f} s, and the windows {span / 1e9:.1f} s"
    energy = np.concatenate([[0.0], np.cumsum((p[1:] + p[:-1]) / 2 * np.diff(t))])
    begins = np.arange(t[0], t[-1] - span + 1, STEP_NS)  # where the first window could begin, in the readings' clock
    at = [np.interp(begins + (edge - edges[0]), t, energy) for edge in edges]
    burst = (at[2] - at[1]) / (edges[2] - edges[1])
    idle = (at[1] - at[0] + at[3] - at[2]) / (edges[1] - edges[0] + edges[3] - edges[2])
    best = int(np.argmax(burst - idle))
    if problem := _doubtful(t, p, float(begins[best]), edges, float(burst[best]), float(idle[best])):
        return problem
    return round(float(edges[0] - begins[best]))


def _doubtful(t: Floats, p: Floats, begin: float, edges: Floats, burst: float, idle: float) -> str:
    """Return why the edge that was found is none: what idle does by itself rises as far."""
    import numpy as np

    before = p[(t >= begin) & (t < begin + edges[1] - edges[0])]
    parts = [part.mean() for part in np.array_split(before, 10) if part.size]
    noise = float(np.std(parts)) if len(parts) > 2 else 0.0
    rise = burst - idle
    if rise <= LEAST_RISE * abs(idle) or rise < LEAST_CONTRAST * noise:
        return (
            f"no edge: the burst draws {burst / 1e3:.0f} mW and idle {idle / 1e3:.0f} mW, which wavers by "
            f"{noise / 1e3:.0f} mW; is the meter wired to this device?"
        )
    return ""
