"""Power during the energy runs, with the window that was integrated shaded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from seatrial_ci.report.axes import Axis
from seatrial_ci.report.chart import Band, Chart, Line, kept
from seatrial_ci.report.evidence.watts import Watts, from_program, from_samples
from seatrial_ci.report.exhibit import Exhibit, limited
from seatrial_runner.records import EnergyWindows, MeterInfo, Run, Trial

MOST_CHARTS, MOST_POINTS, MOST_ROWS = 2, 1500, 60
KEY, TITLE = "power", "Power while energy was measured"


@dataclass(frozen=True)
class Trace:
    """The power of a run: (ns, W), and the windows in which it was taken; ``aligned``: both on one clock."""

    run: Run
    watts: Watts
    windows: EnergyWindows
    aligned: bool = True


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
    said = f"Run {numbers}{left}, by {meter.id} ({meter.kind}, {meter.scope})."
    said += f" Its figures are uncertain: {meter.doubt}." if meter.doubt else ""
    said += "".join(f" Run {t.run.index}: {t.run.power.problem}." for t in shown if t.run.power and t.run.power.problem)
    rows, left_out = limited([row for trace in traces for row in _rows(trace)], MOST_ROWS, "windows")
    return Exhibit(
        KEY,
        TITLE,
        said,
        "Shaded: idle, the burst whose energy was integrated, idle; the idle power is taken off for the net figure.",
        charts=tuple(_chart(trace) for trace in shown),
        head=("run", "bundle", "window", "seconds", "mean power", "greatest power"),
        rows=rows,
        left_out=left_out,
    )


def _trace(run: Run, meter: MeterInfo) -> Trace | None:
    windows = run.result.energy if run.result else None
    if windows is None:
        return None
    if run.power is not None:
        watts = from_program(run.power, meter)
        # Without an edge to align by nobody knows where the windows lie among the readings.
        return Trace(run, watts, windows, run.power.shift_ns is not None) if len(watts) >= 3 else None
    watts = from_samples(windows.counters, windows.samples, meter)
    return Trace(run, watts, windows) if len(watts) >= 3 else None


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
        bands=tuple(
            Band((a - begin) / 1e9, (b - begin) / 1e9, name, name, axis="x") for name, (a, b) in spans if trace.aligned
        ),
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
        within = [w for t, w in trace.watts if begin < t <= end and trace.aligned]
        figures = (f"{sum(within) / len(within):.3g} W", f"{max(within):.3g} W") if within else ("-", "-")
        yield str(trace.run.index), bundle, name, f"{max(0, end - begin) / 1e9:.2f}", *figures
