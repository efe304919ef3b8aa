"""From readings to energy per inference: idle, burst, idle; each integrated, the idle power taken off.

The rules are those of docs/concepts/meters.md: a figure that readings can't support is a reason, never a number, and
one that they support badly says why.
"""

from __future__ import annotations

import cmath
import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..records import Channel, EnergyWindows, MeterInfo
from .base import POINT_HZ

Series = list[tuple[int, float]]  # (t_ns, cumulative uJ)

LEAST_WINDOW_NS = 9_900_000_000  # 10 s, less what a timer may be early
MOST_GAP = 0.1  # of a window without a reading
MOST_IDLE_CHANGE = 0.2  # of the mean idle power, between before and after
MOST_ALIGNED = 0.1  # of sampling instants with the inferences: length of their mean phase
HARMONICS = 4
LEAST_STEPS = 20  # of a counter within the burst: an error of 5 % at most


@dataclass(frozen=True)
class EnergyFigure:
    """Energy per inference in mJ: as drawn (gross) and with the idle power taken off (net), and what it is worth.

    ``doubts`` say why it is uncertain; who prints the figure prints them.
    """

    net_mj: float
    gross_mj: float
    idle_mw: float
    meter: MeterInfo
    doubts: tuple[str, ...] = ()


def energy_per_inference(windows: EnergyWindows, meter: MeterInfo) -> EnergyFigure | str:
    """Return the figure from what the agent read, or the reason why there is none.

    Net energy is the burst's minus the idle power (mean of the windows before and after) times the burst's length,
    over the inferences of the burst. Readings are taken at samples, so edges are interpolated linearly.
    """
    if windows.inferences < 1:
        return f"{meter.id}: no inference was made in the burst"
    try:
        series = [_cumulative(windows, channel) for channel in meter.read if channel.in_total]
        return figure(series, windows, meter)
    except ValueError as error:
        return f"{meter.id}: {error}"


def figure(series: Sequence[Series], windows: EnergyWindows, meter: MeterInfo) -> EnergyFigure:
    """Return the figure from the cumulative energy of every channel that counts. Raises ValueError with the reason."""
    _require_readings(series, windows, meter)
    if meter.kind == "counter":
        _require_steps(series, windows)
    before, burst, after = (
        sum(_energy_uj(one, window) for one in series)
        for window in (windows.idle_before, windows.burst, windows.idle_after)
    )
    seconds = [(end - start) / 1e9 for start, end in (windows.idle_before, windows.burst, windows.idle_after)]
    idle_uw = (before + after) / (seconds[0] + seconds[2])
    if burst <= 0:
        raise ValueError("did not move during the burst; it does not measure this load")
    return EnergyFigure(
        net_mj=(burst - idle_uw * seconds[1]) / windows.inferences / 1e3,
        gross_mj=burst / windows.inferences / 1e3,
        idle_mw=idle_uw / 1e3,
        meter=meter,
        doubts=tuple(_doubts(meter, seconds, before / seconds[0], after / seconds[2])),
    )


def _doubts(meter: MeterInfo, seconds: Sequence[float], before_uw: float, after_uw: float) -> Iterator[str]:
    if meter.doubt:
        yield meter.doubt
    if min(seconds) * 1e9 < LEAST_WINDOW_NS:
        yield f"a window was only {min(seconds):.1f} s long; 10 s are needed"
    mean = (before_uw + after_uw) / 2
    if mean > 0 and abs(after_uw - before_uw) > MOST_IDLE_CHANGE * mean:
        yield f"the idle power was {before_uw / 1e3:.0f} mW before and {after_uw / 1e3:.0f} mW after"


def _require_readings(series: Sequence[Series], windows: EnergyWindows, meter: MeterInfo) -> None:
    fewest = min(map(len, series), default=0)
    if fewest < 4:
        raise ValueError(f"only {fewest} readings came back; it can't be read while the model runs")
    if meter.kind == "counter":
        return
    for one in series:
        inside = [t for t, _ in one if windows.burst[0] <= t <= windows.burst[1]]
        gaps = [b - a for a, b in itertools.pairwise([windows.burst[0], *inside, windows.burst[1]])]
        if max(gaps) > MOST_GAP * (windows.burst[1] - windows.burst[0]):
            raise ValueError(f"told nothing for {max(gaps) / 1e9:.1f} s of the burst")
    if meter.kind == "point":
        _require_unaliased([t for t, _ in series[0]], windows, meter)


def _require_steps(series: Sequence[Series], windows: EnergyWindows) -> None:
    """A counter that stands still between readings, and moves in a few steps, is known to one step at either end."""
    inside = [[value for t, value in one if windows.burst[0] <= t <= windows.burst[1]] for one in series]
    stands = all(len(set(values)) < len(values) for values in inside)
    steps = max((len(set(values)) - 1 for values in inside), default=0)
    if stands and 0 < steps < LEAST_STEPS:
        raise ValueError(
            f"its counter moved in {steps} steps during the burst, and {LEAST_STEPS} are needed; lengthen the windows "
            "with --energy-window"
        )


def _require_unaliased(times: Sequence[int], windows: EnergyWindows, meter: MeterInfo) -> None:
    """Point readings are worth something only if they fall on every phase of the inferences alike."""
    inside = [t for t in times if windows.burst[0] <= t <= windows.burst[1]]
    step = statistics.median(b - a for a, b in itertools.pairwise(inside)) if len(inside) > 1 else math.inf
    rate = min(1e9 / step, meter.rate_hz or math.inf)
    if rate < POINT_HZ * 0.95:
        raise ValueError(
            f"point readings at {rate:.3g} Hz alias with the inferences, which no length of window mends; "
            f"{POINT_HZ:.0f} Hz are needed, or a meter that averages or counts"
        )
    period = (windows.burst[1] - windows.burst[0]) / windows.inferences
    if aligned(inside, period) > MOST_ALIGNED:
        raise ValueError(
            f"its readings, every {step / 1e6:.3g} ms, keep step with the inferences of {period / 1e6:.3g} ms, so that "
            "they see the same moments of each; read it at another rate"
        )


def aligned(times_ns: Sequence[int], period_ns: float) -> float:
    """Return how far instants keep step with a period: 0 when all phases are alike, 1 when it is always the same.

    The longest of the mean vectors of the phase and its first harmonics (Rayleigh).
    """
    turns = [(t - times_ns[0]) / period_ns for t in times_ns]
    return max(
        abs(sum(cmath.exp(2j * cmath.pi * h * turn) for turn in turns)) / len(turns) for h in range(1, HARMONICS + 1)
    )


def _cumulative(windows: EnergyWindows, channel: Channel) -> Series:
    columns = [windows.counters.index(name) for name in channel.counters]
    readings = [
        (sample.t_ns, [sample.values[column] for column in columns])
        for sample in windows.samples
        if max(columns) < len(sample.values)
    ]
    whole = [(t, [v for v in values if v is not None]) for t, values in readings]
    whole = [(t, values) for t, values in whole if len(values) == len(columns)]
    if channel.quantity == "energy":
        return _unwrapped([(t, values[0]) for t, values in whole], channel)
    if channel.quantity == "charge and voltage":
        return _of_charge([(t, values[0], values[1]) for t, values in whole], channel.scale)
    power = [(t, math.prod(values) * channel.scale) for t, values in whole]
    return integrated(power if channel.signed else [(t, abs(uw)) for t, uw in power])


def _of_charge(readings: Sequence[tuple[int, int, int]], scale: float) -> Series:
    """Return (t_ns, cumulative uJ) of (t_ns, charge, voltage): each step of charge at the voltage around it."""
    series: Series = [(readings[0][0], 0.0)] if readings else []
    for (_, q0, v0), (t1, q1, v1) in itertools.pairwise(readings):
        series.append((t1, series[-1][1] + (q1 - q0) * (v0 + v1) / 2 * scale))
    return series


def _unwrapped(raw: Sequence[tuple[int, int]], channel: Channel) -> Series:
    """Return (t_ns, cumulative uJ) with wrap-arounds undone."""
    series: Series = []
    base, last = 0, None
    for t_ns, value in raw:
        if last is not None and value < last and channel.wraps_at:
            base += channel.wraps_at
        series.append((t_ns, (base + value) * channel.scale))
        last = value
    return series


def integrated(power: Sequence[tuple[int, float]]) -> Series:
    """Return (t_ns, cumulative uJ) of (t_ns, uW), by trapezoids."""
    series: Series = [(power[0][0], 0.0)] if power else []
    for (t0, p0), (t1, p1) in itertools.pairwise(power):
        series.append((t1, series[-1][1] + (p0 + p1) / 2 * (t1 - t0) / 1e9))
    return series


def _energy_uj(series: Series, window: tuple[int, int]) -> float:
    start, end = (_at(series, t) for t in window)
    if end < start:
        raise ValueError("ran backwards and names no value at which it wraps")
    return end - start


def _at(series: Series, t_ns: int) -> float:
    for (t0, v0), (t1, v1) in itertools.pairwise(series):
        if t0 <= t_ns <= t1:
            return v0 + (v1 - v0) * (t_ns - t0) / max(1, t1 - t0)
    raise ValueError("has no readings on both sides of a window's edge")
