"""Earlier trials of the same model on the same device, with the places where the level changed: advisory only."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from seatrial_ci.gate.wording import between, show
from seatrial_ci.report.axes import Axis, around
from seatrial_ci.report.chart import Chart, Mark, Rule
from seatrial_ci.report.exhibit import Exhibit
from seatrial_ci.statistics.changepoints import ChangePoint, change_points

if TYPE_CHECKING:
    from seatrial_ci.history import Point

KEY, TITLE = "history", "Earlier trials of this model on this device"
MOST_ROWS = 50


@dataclass(frozen=True)
class Past:
    """The p50 of all kept trials, oldest first; or ``problem``: why they can't be told. ``current`` is the reader's."""

    points: tuple[Point, ...] = ()
    current: str = ""
    problem: str = ""


def past(found: Past | None) -> Exhibit:
    """Return the exhibit of the history."""
    if found is None:
        return Exhibit(KEY, TITLE, absent="no history was asked")
    usable = tuple(point for point in found.points if point.value > 0)
    if found.problem or len(usable) < 2:
        few = "the history knows no earlier one" if not usable else "the history knows only one"
        return Exhibit(KEY, TITLE, absent=found.problem or few)
    changes = list(_changes(usable))
    rows = tuple(_row(point, changes, place, found.current) for place, point in enumerate(usable))
    return Exhibit(
        KEY,
        TITLE,
        _said(usable, changes),
        charts=(_chart(usable, changes),),
        head=("when", "p50", "interval over runs", "verdict", "commit", ""),
        rows=rows[-MOST_ROWS:],
        left_out="" if len(rows) <= MOST_ROWS else f"{len(rows) - MOST_ROWS} older ones are in the history",
    )


def _changes(points: Sequence[Point]) -> Iterator[tuple[int, ChangePoint | None]]:
    """Yield (place, change) of each new level, and (place, None) where runtime, system or settings became others.

    Unlike figures are no series: levels are looked for between such places only.
    """
    for _, group in groupby(enumerate(points), key=lambda each: each[1].likeness):
        stretch = list(group)
        begin = stretch[0][0]
        if begin:
            yield begin, None
        yield from ((begin + found.index, found) for found in change_points([point.value for _, point in stretch]))


def _said(points: Sequence[Point], changes: Sequence[tuple[int, ChangePoint | None]]) -> str:
    text = f"p50 of the last {len(points)} trials, with their intervals over runs. Advisory: no verdict rests on it."
    for place, change in changes:
        when = _day(points[place])
        if change is None:
            text += f" On {when} runtime, system or settings became others: what lies before is not comparable."
        else:
            text += f" From {when} on the level is another one, by {show(_relative(change), 'relative')}."
    return text + ("" if any(change for _, change in changes) else " No change of level was found.")


def _relative(change: ChangePoint) -> float:
    return math.expm1(change.shift)


def _chart(points: Sequence[Point], changes: Sequence[tuple[int, ChangePoint | None]]) -> Chart:
    legend = [(outcome, outcome) for outcome in dict.fromkeys(point.outcome or "none" for point in points)]
    rules = []
    for place, change in changes:
        rules.append(Rule(place + 0.5, "change" if change else "unlike", "", axis="x"))
    if any(change for _, change in changes):
        legend.append(("change", "change of level"))
    if any(change is None for _, change in changes):
        legend.append(("unlike", "not comparable across"))
    marks = tuple(
        Mark(place + 1, point.value, point.outcome or "none", _text(point), _span(point), axis="y")
        for place, point in enumerate(points)
    )
    return Chart(
        x=Axis(0, len(points) + 1, "", "trial, oldest first", whole=True),
        y=around([v for point in points for v in (point.value, *(_span(point) or ()))], "ns", "p50"),
        marks=marks,
        rules=tuple(rules),
        legend=tuple(legend),
        height=240,
    )


def _span(point: Point) -> tuple[float, float] | None:
    return (point.low, point.high) if point.low is not None and point.high is not None else None


def _text(point: Point) -> str:
    commit = f", commit {point.commit[:12]}" if point.commit else ""
    return f"{_day(point)}: {show(point.value, 'ns')}, {point.outcome or 'not judged'}{commit}"


def _day(point: Point) -> str:
    return datetime.datetime.fromtimestamp(point.unix_ns / 1e9, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def _row(point: Point, changes: Sequence[tuple[int, ChangePoint | None]], place: int, current: str) -> tuple[str, ...]:
    said = ["new level" if change else "not comparable with earlier ones" for at, change in changes if at == place]
    said += ["this trial"] if point.trial_id == current else []
    interval = between(point.low, point.high, "ns") or "-"
    return (
        _day(point),
        show(point.value, "ns"),
        interval,
        point.outcome or "-",
        (point.commit or "-")[:12],
        ", ".join(said),
    )
