"""A line of the history for each trial, and the query that finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, select

from seatrial_ci.history.models import Artifact, DeviceRow, LabelRow, TrialRow, VerdictRow


@dataclass(frozen=True)
class Entry:
    """A line of the history. ``outcome`` is that of the latest verdict, or empty."""

    trial_id: str
    started_unix_ns: int
    device: str
    target: str
    stamp: str
    candidate: str
    baseline: str
    status: str
    outcome: str
    baseline_target: str = ""


def entry(row: Row[Any]) -> Entry:
    """Return the line that a row of `entries` is."""
    values = tuple(row)
    return Entry(values[0], values[1], *(text or "" for text in values[2:]))


def entries(where: Mapping[str, str | None], limit: int | None) -> Select[Any]:
    """Return the query of the latest trials, newest first; ``where`` narrows it: device, target, candidate, branch.

    The latest verdict is looked up for the rows that are shown alone, not for all that are kept.
    """
    baseline = Artifact.__table__.alias("baseline")
    query: Select[Any] = (
        select(
            TrialRow.id,
            TrialRow.started_unix_ns,
            DeviceRow.name,
            Artifact.target,
            DeviceRow.stamp,
            Artifact.name,
            baseline.c.name,
            TrialRow.status,
            latest_outcome(),
            baseline.c.target,
        )
        .join(DeviceRow, TrialRow.device_id == DeviceRow.id)
        .join(Artifact, TrialRow.candidate_digest == Artifact.digest)
        .outerjoin(baseline, TrialRow.baseline_digest == baseline.c.digest)
        .order_by(TrialRow.started_unix_ns.desc(), TrialRow.id)
    )
    query = narrowed(query, where)
    return query if limit is None else query.limit(limit)


def latest_outcome() -> Any:
    """Return the subquery of the outcome of a trial's latest verdict."""
    return (
        select(VerdictRow.outcome)
        .where(VerdictRow.trial_id == TrialRow.id)
        .order_by(VerdictRow.id.desc())
        .limit(1)
        .scalar_subquery()
    )


def narrowed(query: Select[Any], where: Mapping[str, str | None]) -> Select[Any]:
    """Return a query on trials with the conditions of ``where`` that are not None."""
    columns = {"device": DeviceRow.name, "target": Artifact.target, "candidate": Artifact.name}
    for name, column in columns.items():
        query = query if where.get(name) is None else query.where(column == where[name])
    if where.get("branch") is not None:
        of_branch = select(LabelRow.trial_id).where(LabelRow.key == "branch", LabelRow.value == where["branch"])
        query = query.where(TrialRow.id.in_(of_branch))
    return query
