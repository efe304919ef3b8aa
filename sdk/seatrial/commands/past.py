"""What the history knows of the models that a report is about: earlier figures on the same device."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seatrial_targets.errors import SeatrialError

if TYPE_CHECKING:
    from seatrial_ci.history import History
    from seatrial_ci.judgement import Subject
    from seatrial_ci.report.evidence import Past
    from seatrial_runner.records import Trial

MOST_TRIALS, MOST_POINTS = 100, 200  # of a report; points of each trial's history


def needs_past(reports: Mapping[str, object]) -> bool:
    """Return whether any report that is asked for shows what came before: no other need open a history."""
    return any(reports.get(kind) for kind in ("html", "markdown"))


def pasts(subjects: Sequence[Subject], place: str | None) -> dict[str, Past]:
    """Return the past of each trial by its id, from the history at ``place`` (default: the user's).

    A history that is not there, or can't be read, is a reason in the report and no error: the verdict stands.
    """
    from seatrial_ci.report.evidence import Past

    trials = [each.trial for each in subjects if each.trial is not None][:MOST_TRIALS]
    try:
        with _opened(place) as history:
            if history is None:
                return {trial.id: Past(problem="there is no history yet") for trial in trials}
            return {trial.id: _past(history, trial) for trial in trials}
    except SeatrialError as error:
        return {trial.id: Past(problem=str(error)) for trial in trials}


@contextmanager
def _opened(place: str | None) -> Iterator[History | None]:
    """Yield the history; None where there is none: a report makes no file that nobody asked for."""
    from seatrial_ci.history import History, default_path

    if place is None and not os.environ.get("SEATRIAL_HISTORY") and not default_path().exists():
        yield None
        return
    with History.open(place) as history:
        yield history


def _past(history: History, trial: Trial) -> Past:
    from seatrial_ci.report.evidence import Past

    bundle = trial.bundles["candidate"]
    where = {"device": trial.device.name, "candidate": bundle.name, "target": bundle.target}
    found = history.series("latency_p50", MOST_POINTS, **where)
    return Past(tuple(point for point in found if point.stamp == trial.device.stamp), current=trial.id)
