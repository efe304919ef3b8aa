"""How a device holds out: latency, temperature, clocks and power while a model ran for minutes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from seatrial_ci.gate.wording import show
from seatrial_ci.report.axes import Axis, AxisUnit, around
from seatrial_ci.report.chart import Chart, Line, kept
from seatrial_ci.report.evidence.readings import Points, during
from seatrial_ci.report.evidence.watts import Watts, from_program, from_samples
from seatrial_ci.report.exhibit import Exhibit, limited
from seatrial_ci.statistics.intervals import Floats
from seatrial_ci.sustained import sustained_figures
from seatrial_runner.records import Run, Trial, agent_arm

KEY, TITLE = "sustained", "Kept busy for minutes"
MOST_POINTS, MOST_SENSORS, MOST_MIDDLES, MOST_ROWS = 2400, 6, 90, 120
MINUTE = 60.0


@dataclass(frozen=True)
class Curve:
    """A sustained run of a bundle: when each kept inference began (minutes) and how long it took (ns), shape (n,)."""

    run: Run
    role: str
    minutes: Floats
    values: Floats
    begin_ns: int


def sustained(trial: Trial) -> Exhibit:
    """Return the exhibit of the sustained runs."""
    curves = [curve for run in trial.of("sustained") for role in run.arms.values() if (curve := _curve(run, role))]
    if not curves:
        return Exhibit(KEY, TITLE, absent="no run was made that keeps the device busy for minutes")
    first = curves[0].run
    axis = Axis(0.0, max(float(curve.minutes[-1]) for curve in curves) or 1.0, "min", "time under load")
    charts = [_latency(curves, axis), *_conditions(first, curves[0].begin_ns, axis)]
    watts = _watts(first, trial, curves[0].begin_ns)
    charts += [_lines(axis, {"power": watts}, "W", "power")] if len(watts) > 2 else []
    rows, left_out = limited([row for curve in curves for row in _rows(curve)], MOST_ROWS, "minutes")
    return Exhibit(
        KEY,
        TITLE,
        "; ".join(_change(curve) for curve in curves) + ".",
        _reading(curves),
        charts=tuple(charts),
        head=("run", "bundle", "minute", "least", "median", "greatest"),
        rows=rows,
        left_out=left_out,
    )


def _curve(run: Run, role: str) -> Curve | None:
    try:
        arm = agent_arm(run, role)
    except KeyError:
        return None
    count = min(len(arm.at_ns), len(arm.wall_ns))
    if not count:
        return None
    at = np.asarray(arm.at_ns[:count], dtype=np.float64)
    values = np.asarray(arm.wall_ns[:count], dtype=np.float64)
    return Curve(run, role, (at - at[0]) / 1e9 / MINUTE, values, arm.at_ns[0])


def _reading(curves: list[Curve]) -> str:
    stride = max(agent_arm(curve.run, curve.role).stride for curve in curves)
    left = sum(curve.values.size for curve in curves) > MOST_POINTS
    sentences = [f"One of {stride} inferences was kept."] if stride > 1 else []
    return " ".join([*sentences, *(["Drawn are the least and the greatest of each stretch."] if left else [])])


def _change(curve: Curve) -> str:
    found = sustained_figures(agent_arm(curve.run, curve.role))
    if isinstance(found, str):
        return f"{curve.role}: {found}"
    change = show(found.change, "relative")
    text = (
        f"{curve.role}: p50 {show(found.first_minute_ns, 'ns')} in the first minute, {show(found.last_minute_ns, 'ns')}"
    )
    text += f" in the last of {found.seconds / MINUTE:.1f} ({change})"
    if found.slow_after_s is not None:
        text += f", slower by 5 % or more from {found.slow_after_s:.0f} s on"
    settled = "it settled at" if found.steady else "not settled yet, at"
    return f"{text}; {settled} {show(found.steady_ns, 'ns')}"


def _latency(curves: list[Curve], axis: Axis) -> Chart:
    top = max(float(np.quantile(curve.values, 0.999)) for curve in curves) * 1.1
    low = min(float(curve.values.min()) for curve in curves)
    lines = []
    for curve in curves:
        values = np.minimum(curve.values, top)
        places = kept(values, MOST_POINTS // len(curves))
        lines.append(Line(curve.role, [float(x) for x in curve.minutes[places]], [float(v) for v in values[places]]))
        lines.append(_middle(curve, values))
    return Chart(
        x=axis,
        y=Axis(max(0.0, low - 0.05 * (top - low)), top, "ns", "latency"),
        lines=tuple(lines),
        legend=(
            *((curve.role, f"{curve.role}, run {curve.run.index}") for curve in curves),
            ("middle", "median of each stretch"),
        ),
        link=KEY,
        height=220,
    )


def _middle(curve: Curve, values: Floats) -> Line:
    """Medians of equal stretches of time: what is typical, among the stalls."""
    edges = np.linspace(0, float(curve.minutes[-1]), MOST_MIDDLES + 1)
    place = np.clip(np.digitize(curve.minutes, edges) - 1, 0, MOST_MIDDLES - 1)
    known = [int(stretch) for stretch in np.unique(place)]
    at = [float((edges[stretch] + edges[stretch + 1]) / 2) for stretch in known]
    return Line("middle", at, [float(np.median(values[place == stretch])) for stretch in known])


def _conditions(run: Run, begin_ns: int, axis: Axis) -> Iterator[Chart]:
    trace = run.result.sensors if run.result else None
    if trace is None:
        return
    found = during(trace, begin_ns)
    if found.temperatures:
        yield _lines(axis, found.temperatures, "°C", "temperature")
    if found.clocks:
        yield _lines(axis, found.clocks, "MHz", "clock")


def _lines(axis: Axis, series: Mapping[str, Points], unit: AxisUnit, label: str) -> Chart:
    shown = dict(sorted(series.items(), key=lambda each: -max(v for _, v in each[1]))[:MOST_SENSORS])
    lines = []
    for number, points in enumerate(shown.values()):
        places = kept([value for _, value in points], MOST_POINTS // len(shown))
        minutes = [points[place][0] / MINUTE for place in places]
        lines.append(Line(f"series{number}", minutes, [points[place][1] for place in places]))
    return Chart(
        x=axis,
        y=around([value for points in shown.values() for _, value in points], unit, label, zero=unit == "W"),
        lines=tuple(lines),
        legend=tuple((f"series{number}", name) for number, name in enumerate(shown)),
        link=KEY,
        height=180,
    )


def _watts(run: Run, trial: Trial, begin_ns: int) -> Points:
    found: Watts = ()
    if trial.meter and run.power is not None and run.power.shift_ns is not None:
        found = from_program(run.power, trial.meter)
    elif trial.meter and run.result and run.result.sensors:
        found = from_samples(run.result.sensors.sensors, run.result.sensors.samples, trial.meter)
    return tuple(((t - begin_ns) / 1e9, watts) for t, watts in found)


def _rows(curve: Curve) -> Iterator[tuple[str, ...]]:
    for minute in range(min(120, int(curve.minutes[-1]) + 1)):
        within = curve.values[(curve.minutes >= minute) & (curve.minutes < minute + 1)]
        if within.size:
            figures = (float(within.min()), float(np.median(within)), float(within.max()))
            yield str(curve.run.index), curve.role, str(minute + 1), *(show(each, "ns") for each in figures)
