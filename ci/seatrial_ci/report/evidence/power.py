"""Power during the energy runs, with the window that was integrated shaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from seatrial_ci.report.axes import Axis
from seatrial_ci.report.chart import Band, Chart, Line, kept
from seatrial_ci.report.exhibit import Exhibit
from seatrial_runner.records import EnergyWindows, MeterInfo, Run, Trial

MOST_CHARTS, MOST_POINTS = 2, 1500
KEY, TITLE = "power", "Power while energy was measured"


@dataclass(frozen=True)
class Trace:
    """The power of a run: (ns, W) at the end of each step, and the windows in which it was taken."""

    run: Run
    watts: tuple[tuple[int, float], ...]
    windows: EnergyWindows


def power(trial: Trial) -> Exhibit:
    """Return the exhibit of power traces."""
    meter = trial.meter
    if meter is None:
        why = next((text for key, text in trial.unmeasured.items() if key.startswith("energy")), "")
        return Exhibit(KEY, TITLE, absent=why or "the device has no energy meter that we can read")
    traces = [trace for run in trial.of("energy") if (trace := _trace(run, meter))]
    if not traces:
        return Exhibit(KEY, TITLE, absent=f"no energy run holds enough readings of {meter.id}")
    shown = traces[:MOST_CHARTS]
    numbers = " and ".join(str(trace.run.index) for trace in shown)
    left = f"; {len(traces) - len(shown)} more runs have rows in the table" if len(traces) > len(shown) else ""
    said = (
        f"Run {numbers}{left}, by {meter.id} ({meter.kind}, {meter.scope}). Shaded: idle, the burst whose energy was "
        "integrated, idle; the idle power is taken off for the net figure."
    )
    return Exhibit(
        KEY,
        TITLE,
        said,
        charts=tuple(_chart(trace) for trace in shown),
        head=("run", "bundle", "window", "seconds", "mean power", "greatest power"),
        rows=tuple(row for trace in traces for row in _rows(trace)),
    )


def _trace(run: Run, meter: MeterInfo) -> Trace | None:
    windows = run.result.energy if run.result else None
    if windows is None or meter.id not in windows.counters:
        return None
    watts = tuple(_watts(windows, meter))
    return Trace(run, watts, windows) if len(watts) >= 3 else None


def _watts(windows: EnergyWindows, meter: MeterInfo) -> Iterator[tuple[int, float]]:
    """Yield (ns, W) between neighbouring readings of the counter; a step backwards is a wrap, or left out."""
    column = windows.counters.index(meter.id)
    readings = [(s.t_ns, s.values[column]) for s in windows.samples if len(s.values) > column]
    known = [(t, value) for t, value in readings if value is not None]
    for (t0, v0), (t1, v1) in pairwise(known):
        step = v1 - v0 + (meter.wraps_at or 0 if v1 < v0 else 0)
        if t1 > t0 and step >= 0:
            yield t1, step * meter.uj_per_step * 1e-6 / ((t1 - t0) * 1e-9)


def _chart(trace: Trace) -> Chart:
    begin = trace.watts[0][0]
    places = kept([w for _, w in trace.watts], MOST_POINTS)
    seconds = [(trace.watts[place][0] - begin) / 1e9 for place in places]
    watts = [trace.watts[place][1] for place in places]
    windows = trace.windows
    spans = (("idle", windows.idle_before), ("burst", windows.burst), ("idle", windows.idle_after))
    return Chart(
        x=Axis(0.0, seconds[-1], "s", f"time in run {trace.run.index}"),
        y=Axis(0.0, max(watts) * 1.1 or 1.0, "W", "power"),
        lines=(Line(next(iter(trace.run.arms.values()), "candidate"), seconds, watts, steps=True),),
        bands=tuple(Band((a - begin) / 1e9, (b - begin) / 1e9, name, name, axis="x") for name, (a, b) in spans),
        legend=((next(iter(trace.run.arms.values()), "candidate"), "power"), ("idle", "idle"), ("burst", "integrated")),
        height=220,
    )


def _rows(trace: Trace) -> Iterator[tuple[str, ...]]:
    windows = trace.windows
    bundle = next(iter(trace.run.arms.values()), "")
    for name, (begin, end) in (
        ("idle before", windows.idle_before),
        ("burst", windows.burst),
        ("idle after", windows.idle_after),
    ):
        within = [w for t, w in trace.watts if begin < t <= end]
        figures = (f"{sum(within) / len(within):.3g} W", f"{max(within):.3g} W") if within else ("-", "-")
        yield str(trace.run.index), bundle, name, f"{max(0, end - begin) / 1e9:.2f}", *figures
