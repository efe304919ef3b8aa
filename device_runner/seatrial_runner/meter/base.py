"""What a meter is: a source of energy readings, with its kind, scope and resolution stated."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..records import EnergyWindows, MeterInfo


@dataclass(frozen=True)
class EnergyFigure:
    """Energy per inference in mJ: as drawn (gross) and with the idle power taken off (net), and what it is worth."""

    net_mj: float
    gross_mj: float
    idle_mw: float
    meter: MeterInfo


class Meter(Protocol):
    """A kind of meter: finds its counters in what the device lists, and says why when there are none."""

    name: str

    def counters(self, listing: Sequence[str]) -> tuple[MeterInfo, ...]:
        """Return the counters that the device's listing (lines of `meter.SCRIPT`) offers."""
        ...


def energy_per_inference(windows: EnergyWindows, counter: MeterInfo) -> EnergyFigure | str:
    """Return the figure, or the reason why there is none.

    Net energy is the burst's minus the idle power (mean of the windows before and after) times the burst's length,
    over the inferences of the burst. Counters are read at samples, so edges are interpolated linearly.
    """
    series = _series(windows, counter)
    if len(series) < 4 or windows.inferences < 1:
        return f"{counter.id}: only {len(series)} readings came back; the counter can't be read while the model runs"
    try:
        before, burst, after = (_energy_uj(series, w) for w in (windows.idle_before, windows.burst, windows.idle_after))
    except ValueError as error:
        return f"{counter.id}: {error}"
    seconds = [(end - start) / 1e9 for start, end in (windows.idle_before, windows.burst, windows.idle_after)]
    idle_uw = (before + after) / (seconds[0] + seconds[2])
    if burst <= 0:
        return f"{counter.id}: did not move during the burst; it does not measure this load"
    net = (burst - idle_uw * seconds[1]) / windows.inferences / 1e3
    gross = burst / windows.inferences / 1e3
    return EnergyFigure(net, gross, idle_uw / 1e3, counter)


def _series(windows: EnergyWindows, counter: MeterInfo) -> list[tuple[int, float]]:
    """Return (t_ns, cumulative uJ) with wrap-arounds undone."""
    column = windows.counters.index(counter.id)
    raw = [(s.t_ns, s.values[column]) for s in windows.samples if column < len(s.values)]
    series: list[tuple[int, float]] = []
    base, last = 0, None
    for t_ns, value in raw:
        if value is None:
            continue
        if last is not None and value < last and counter.wraps_at:
            base += counter.wraps_at
        series.append((t_ns, (base + value) * counter.uj_per_step))
        last = value
    return series


def _energy_uj(series: list[tuple[int, float]], window: tuple[int, int]) -> float:
    start, end = (_at(series, t) for t in window)
    if end < start:
        raise ValueError("ran backwards and names no value at which it wraps")
    return end - start


def _at(series: list[tuple[int, float]], t_ns: int) -> float:
    for (t0, v0), (t1, v1) in itertools.pairwise(series):
        if t0 <= t_ns <= t1:
            return v0 + (v1 - v0) * (t_ns - t0) / max(1, t1 - t0)
    raise ValueError("has no readings on both sides of a window's edge")
