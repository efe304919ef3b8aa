"""How runs differ, and bundles: the empirical distribution of the run medians, with their intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seatrial_ci.figures import BundleRole, Series, percentiles
from seatrial_ci.gate.wording import between, show
from seatrial_ci.report.axes import Axis, around
from seatrial_ci.report.chart import Band, Chart, Line, Mark, Rule, kept
from seatrial_ci.report.exhibit import Exhibit, limited
from seatrial_ci.statistics.intervals import PercentileInterval, percentile_interval
from seatrial_ci.statistics.runs import run_interval
from seatrial_ci.summary import ALPHA
from seatrial_runner.records import Trial, agent_arm

MOST_DOTS, MOST_ROWS = 600, 100
KEY, TITLE = "runs", "Median latency of each run"
ROLES: tuple[BundleRole, ...] = ("candidate", "baseline")
READING = (
    "Each dot is the p50 of one run, a fresh process, with the 95 % interval of that run's own samples; the line is "
    "their share at or below. Runs differ by more than their own intervals tell, so the shaded interval is over runs."
)


def runs(trial: Trial) -> Exhibit:
    """Return the exhibit of the solo runs' medians."""
    found = {role: percentiles(trial, role, 0.5) for role in ROLES if role in trial.bundles}
    some = {role: series for role, series in found.items() if len(series.values)}
    if not some:
        return Exhibit(KEY, TITLE, absent=next((s.problem for s in found.values() if s.problem), "no solo run counts"))
    inner = {role: _inner(role, series) for role, series in some.items()}
    rows = [row for role, series in some.items() for row in _rows(role, series, inner[role])]
    shown, left_out = limited(rows, MOST_ROWS, "runs")
    drawn = {role: kept([float(v) for v in sorted(s.values)], MOST_DOTS) for role, s in some.items()}
    said = f"{'; '.join(_said(role, series) for role, series in some.items())}."
    left = sum(len(some[role].values) - len(places) for role, places in drawn.items())
    hidden = f" {left} runs between others are not drawn; the outermost are." if left else ""
    return Exhibit(
        KEY,
        TITLE,
        said,
        READING + hidden,
        charts=(_chart(some, inner, drawn),),
        head=("run", "bundle", "p50", "interval within the run", "inferences"),
        rows=shown,
        left_out=left_out,
    )


def _inner(role: BundleRole, series: Series) -> list[PercentileInterval]:
    return [percentile_interval(agent_arm(run, role).wall_ns, 0.5, 1 - 2 * ALPHA) for run in series.runs]


def _chart(
    found: Mapping[BundleRole, Series],
    inner: Mapping[BundleRole, list[PercentileInterval]],
    drawn: Mapping[BundleRole, list[int]],
) -> Chart:
    values = [float(v) for series in found.values() for v in series.values]
    marks: list[Mark] = []
    lines: list[Line] = []
    for role, series in found.items():
        ordered = sorted(
            zip((float(v) for v in series.values), series.runs, inner[role], strict=True), key=lambda each: each[0]
        )
        count = len(ordered)
        for place in drawn[role]:
            value, run, interval = ordered[place]
            text = f"run {run.index}, {role}: {show(value, 'ns')}"
            span = (interval.low, min(interval.high, max(values) * 2))
            marks.append(Mark(value, (place + 1) / count, role, text, span))
        steps = [(ordered[place][0], (place + 1) / count) for place in drawn[role]]
        lines.append(Line(role, [ordered[0][0], *(x for x, _ in steps)], [0.0, *(y for _, y in steps)], steps=True))
    return Chart(
        x=around(values, "ns", "p50 of a run"),
        y=Axis(0, 1.05, "share", "share of the runs at or below"),
        marks=tuple(marks),
        lines=tuple(lines),
        bands=tuple(_bands(found)),
        rules=tuple(_rules(found)),
        legend=tuple((role, role) for role in found),
    )


def _bands(found: Mapping[BundleRole, Series]) -> Iterator[Band]:
    for role, series in found.items():
        if len(series.values) >= 2:
            over = run_interval(series.values, ALPHA)
            yield Band(over.low, over.high, f"over {role}", axis="x")


def _rules(found: Mapping[BundleRole, Series]) -> Iterator[Rule]:
    for role, series in found.items():
        if len(series.values) >= 2:
            yield Rule(run_interval(series.values, ALPHA).estimate, role, "", axis="x")


def _said(role: str, series: Series) -> str:
    if len(series.values) < 2:
        return f"{role}: 1 run, {show(float(series.values[0]), 'ns')}"
    over = run_interval(series.values, ALPHA)
    least, most = float(series.values.min()), float(series.values.max())
    text = f"{role}: {show(over.estimate, 'ns')} ({between(over.low, over.high, 'ns')}) over {over.runs} runs"
    return f"{text}, which reach from {show(least, 'ns')} to {show(most, 'ns')}"


def _rows(role: str, series: Series, inner: list[PercentileInterval]) -> Iterator[tuple[str, ...]]:
    for value, run, interval in zip(series.values, series.runs, inner, strict=True):
        samples = len(agent_arm(run, role).wall_ns)
        within = between(interval.low, interval.high, "ns")
        yield str(run.index), role, show(float(value), "ns"), within, str(samples)
