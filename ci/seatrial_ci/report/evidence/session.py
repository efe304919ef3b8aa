"""Every timed inference of the solo runs over the session: how the device behaved while it was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from seatrial_ci.figures import BundleRole
from seatrial_ci.gate.wording import show
from seatrial_ci.report.axes import Axis
from seatrial_ci.report.chart import Chart, Line, Mark, kept
from seatrial_ci.report.exhibit import Exhibit, limited
from seatrial_ci.statistics.intervals import Floats
from seatrial_runner.records import Run, Trial, agent_arm

MOST_POINTS, MOST_DOTS, MOST_EXTREMES, MOST_ROWS = 3000, 600, 8, 100
KEY, TITLE = "session", "Latency over the session"
ROLES: tuple[BundleRole, ...] = ("candidate", "baseline")


@dataclass(frozen=True)
class Piece:
    """A run's samples of a bundle: when each ended (seconds of the session) and how long it took (ns), shape (n,)."""

    run: Run
    role: BundleRole
    seconds: Floats
    values: Floats


def session(trial: Trial) -> Exhibit:
    """Return the exhibit of the latencies in the order of time."""
    pieces = list(_pieces(trial))
    total = sum(piece.values.size for piece in pieces)
    if not total:
        return Exhibit(KEY, TITLE, absent="no solo run holds a timed inference")
    top = _top(pieces)
    beyond = sum(int((piece.values > top).sum()) for piece in pieces)
    lines = {role: _line(role, [p for p in pieces if p.role == role], total, top) for role in ROLES}
    drawn = sum(int(np.isfinite(line.y).sum()) for line in lines.values())
    rows, left_out = limited([_row(piece) for piece in pieces], MOST_ROWS, "runs")
    return Exhibit(
        KEY,
        TITLE,
        f"All {total:,} timed inferences of the solo runs, run after run.",
        _reading(total, drawn, beyond, top),
        charts=(_chart(trial, pieces, lines, top),),
        head=("run", "bundle", "begun", "inferences", "least", "median", "greatest"),
        rows=rows,
        left_out=left_out,
    )


def _pieces(trial: Trial) -> Iterator[Piece]:
    for run in trial.of("solo"):
        for role in run.arms.values():
            try:
                walls = np.asarray(agent_arm(run, role).wall_ns, dtype=np.float64)
            except KeyError:
                continue
            if walls.size:
                # The inferences come last in a run, one after the other: from its end backwards by their durations.
                end = (run.started_unix_ns + run.duration_ns - trial.started_unix_ns) / 1e9
                yield Piece(run, role, end - (walls.sum() - np.cumsum(walls)) / 1e9, walls)


def _top(pieces: list[Piece]) -> float:
    """A single stall would flatten all the rest: what lies far beyond nearly all is marked at the edge."""
    values = np.concatenate([piece.values for piece in pieces])
    most, nearly = float(values.max()), float(np.quantile(values, 0.999))
    return most * 1.03 if most < 1.5 * nearly else nearly * 1.1


def _line(role: str, pieces: list[Piece], total: int, top: float) -> Line:
    """Least and greatest of each stretch in the order in which they came; a gap between runs, unless there are many."""
    x: list[float] = []
    y: list[float] = []
    if len(pieces) > MOST_POINTS / 10:
        whole = Piece(
            pieces[0].run, pieces[0].role, *(np.concatenate(parts) for parts in zip(*map(_arrays, pieces), strict=True))
        )
        pieces, total = [whole], whole.values.size
    for piece in pieces:
        values = np.minimum(piece.values, top)
        places = kept(values, max(4, math.floor(MOST_POINTS * piece.values.size / total)))
        x += [*(float(t) for t in piece.seconds[places]), math.nan]
        y += [*(float(v) for v in values[places]), math.nan]
    return Line(role, x, y)


def _arrays(piece: Piece) -> tuple[Floats, Floats]:
    return piece.seconds, piece.values


def _chart(trial: Trial, pieces: list[Piece], lines: Mapping[BundleRole, Line], top: float) -> Chart:
    low = min(float(piece.values.min()) for piece in pieces)
    roles = [role for role in ROLES if any(piece.role == role for piece in pieces)]
    return Chart(
        x=session_axis(trial),
        y=Axis(max(0.0, low - 0.05 * (top - low)), top, "ns", "latency"),
        marks=(*_middles(pieces, top), *_extremes(pieces, top)),
        lines=tuple(lines[role] for role in roles),
        legend=tuple((role, role) for role in roles),
        link="session",
    )


def session_axis(trial: Trial) -> Axis:
    """Return the axis of the session's time, in seconds from its start, that all charts over it share."""
    ends = [run.started_unix_ns + run.duration_ns for run in trial.runs]
    states = [state.unix_ns for state in (trial.before, trial.after) if state]
    known = [trial.started_unix_ns, trial.finished_unix_ns or trial.started_unix_ns, *ends, *states]
    low, high = ((at - trial.started_unix_ns) / 1e9 for at in (min(known), max(known)))
    pad = 0.01 * (high - low) or 1.0
    return Axis(low - pad, high + pad, "s", "time since the trial began")


def _middles(pieces: list[Piece], top: float) -> Iterator[Mark]:
    medians = [float(np.median(piece.values)) for piece in pieces]
    yield from (_middle(pieces[place], top) for place in kept(medians, MOST_DOTS))


def _middle(piece: Piece, top: float) -> Mark:
    middle = float(np.median(piece.values))
    text = f"run {piece.run.index}, {piece.role}: p50 {show(middle, 'ns')} of {piece.values.size} inferences"
    return Mark(float(np.median(piece.seconds)), min(middle, top), piece.role, text)


def _extremes(pieces: list[Piece], top: float) -> Iterator[Mark]:
    """The greatest of those beyond the chart, with their true values."""
    found = [
        (float(piece.values[place]), piece, int(place))
        for piece in pieces
        for place in np.flatnonzero(piece.values > top)
    ]
    for value, piece, place in sorted(found, key=lambda each: -each[0])[:MOST_EXTREMES]:
        text = f"run {piece.run.index}, {piece.role}, inference {place + 1}: {show(value, 'ns')}"
        yield Mark(float(piece.seconds[place]), top, piece.role, text, beyond=True)


def _reading(total: int, drawn: int, beyond: int, top: float) -> str:
    text = "The dots are the runs' medians."
    if drawn < total:
        text += f" {drawn:,} points are drawn: the least and the greatest of each stretch, so no extreme is lost."
    if beyond:
        marked = f"the {min(beyond, MOST_EXTREMES)} slowest are marked" if beyond > 1 else "it is marked"
        text += f" {beyond:,} {'lies' if beyond == 1 else 'lie'} above {show(top, 'ns')}; {marked} at the upper edge."
    return text


def _row(piece: Piece) -> tuple[str, ...]:
    values = piece.values
    figures = (float(values.min()), float(np.median(values)), float(values.max()))
    begun = f"{piece.seconds[0]:.1f} s"
    return str(piece.run.index), piece.role, begun, str(values.size), *(show(each, "ns") for each in figures)
