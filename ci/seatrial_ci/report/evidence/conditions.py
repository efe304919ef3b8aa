"""Temperature and clocks over the session, on the same time axis as the latencies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seatrial_ci.report.axes import AxisUnit, around, written
from seatrial_ci.report.chart import Chart, Line, Mark, kept
from seatrial_ci.report.evidence.readings import Points, readings
from seatrial_ci.report.evidence.session import session_axis
from seatrial_ci.report.exhibit import Exhibit, limited
from seatrial_runner.records import Trial

MOST_SENSORS, MOST_POINTS, MOST_ROWS = 6, 400, 60
KEY, TITLE = "conditions", "Temperature and clocks"


def conditions(trial: Trial) -> Exhibit:
    """Return the exhibit of temperatures and clocks."""
    found = readings(trial)
    kinds: tuple[tuple[str, Mapping[str, Points], AxisUnit], ...] = (
        ("temperature", found.temperatures, "°C"),
        ("clock", found.clocks, "MHz"),
    )
    charts = [_chart(trial, name, series, unit) for name, series, unit in kinds if series]
    if not charts:
        return Exhibit(KEY, TITLE, absent="the device told neither a temperature nor a clock")
    silent = [name for name, series, _ in kinds if not series]
    most = max(len(points) for _, series, _ in kinds for points in series.values())
    said = "Read before the first run and after the last one" if most <= 2 else "Read during the session"
    said += ", on the time axis of the latencies above."
    said += "".join(f" The device told no {name}." for name in silent)
    hidden = [f"{name}s of {len(s) - MOST_SENSORS} sensors" for name, s, _ in kinds if len(s) > MOST_SENSORS]
    said += f" Not drawn: {' and '.join(hidden)}; the table has them." if hidden else ""
    rows, left_out = limited([row for _, series, unit in kinds for row in _rows(series, unit)], MOST_ROWS, "sensors")
    return Exhibit(
        KEY,
        TITLE,
        said,
        charts=tuple(charts),
        head=("sensor", "readings", "first", "least", "greatest", "last"),
        rows=rows,
        left_out=left_out,
    )


def _chart(trial: Trial, name: str, series: Mapping[str, Points], unit: AxisUnit) -> Chart:
    shown = dict(sorted(series.items(), key=lambda each: -max(v for _, v in each[1]))[:MOST_SENSORS])
    values = [value for points in shown.values() for _, value in points]
    groups = {sensor: f"series{number}" for number, sensor in enumerate(shown)}
    lines, marks = [], list[Mark]()
    for sensor, points in shown.items():
        places = kept([value for _, value in points], MOST_POINTS)
        sparse = " sparse" if len(points) <= 2 else ""  # what happened between is not known: dashed
        lines.append(Line(groups[sensor] + sparse, [points[p][0] for p in places], [points[p][1] for p in places]))
        if len(places) <= 40:
            marks += [_mark(groups[sensor], sensor, *points[place], unit) for place in places]
    return Chart(
        x=session_axis(trial),
        y=around(values, unit, name),
        marks=tuple(marks),
        lines=tuple(lines),
        legend=tuple((group, sensor) for sensor, group in groups.items()),
        link="session",
        height=200,
    )


def _mark(group: str, sensor: str, at: float, value: float, unit: AxisUnit) -> Mark:
    return Mark(at, value, group, f"{sensor} at {at:.1f} s: {_shown(value, unit)}")


def _shown(value: float, unit: AxisUnit) -> str:
    return written(value, unit, 0.1 if unit == "°C" else 1.0, abs(value))


def _rows(series: Mapping[str, Points], unit: AxisUnit) -> Iterator[tuple[str, ...]]:
    for sensor, points in series.items():
        values = [value for _, value in points]
        figures = (values[0], min(values), max(values), values[-1])
        yield sensor, str(len(points)), *(_shown(value, unit) for value in figures)
