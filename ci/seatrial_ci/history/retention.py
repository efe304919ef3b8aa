"""What of a history may go: old trials, or the samples of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from seatrial_ci.history.models import Artifact, FigureRow, LabelRow, RunRow, SamplesRow, TrialRow, VerdictRow

AT_ONCE = 500  # databases limit how many values one statement takes
KEEPING = ("tag", "release")


@dataclass(frozen=True)
class Pruned:
    """What was removed: trials (or, of so many, the samples alone), and the bytes of their documents and samples."""

    trials: int
    size_bytes: int


def prune(session: Session, before_unix_ns: int, *, samples_only: bool, dry_run: bool) -> Pruned:
    """Remove what `History.prune` says, in the session's transaction."""
    protected = _protected(session)
    going = [trial for trial in session.scalars(_older(before_unix_ns)) if trial not in protected]
    if samples_only:
        having = set(session.scalars(select(SamplesRow.trial_id).distinct()))
        going = [trial for trial in going if trial in having]
    size = sum(_size(session, going[i : i + AT_ONCE], samples_only) for i in range(0, len(going), AT_ONCE))
    if not dry_run:
        for start in range(0, len(going), AT_ONCE):
            _remove(session, going[start : start + AT_ONCE], samples_only)
    return Pruned(len(going), size)


def _older(before_unix_ns: int) -> Select[Any]:
    labelled = select(LabelRow.trial_id).where(LabelRow.key.in_(KEEPING))
    return select(TrialRow.id).where(TrialRow.started_unix_ns < before_unix_ns, TrialRow.id.not_in(labelled))


def _protected(session: Session) -> set[str]:
    """Return the latest trial of each bundle's name on each device, and the latest A/A trial of each device."""
    of_bundle = (TrialRow.device_id, Artifact.name, Artifact.target)
    newest = func.row_number().over(partition_by=of_bundle, order_by=TrialRow.started_unix_ns.desc())
    ranked = select(TrialRow.id, newest.label("rank")).join(Artifact, TrialRow.candidate_digest == Artifact.digest)
    latest = ranked.subquery()
    newest = func.row_number().over(partition_by=TrialRow.device_id, order_by=TrialRow.started_unix_ns.desc())
    same = select(TrialRow.id, newest.label("rank")).where(TrialRow.candidate_digest == TrialRow.baseline_digest)
    calibrations = same.subquery()
    return {
        trial
        for table in (latest, calibrations)
        for trial in session.scalars(select(table.c.id).where(table.c.rank == 1))
    }


def _size(session: Session, trials: Sequence[str], samples_only: bool) -> int:
    samples = select(func.sum(func.length(SamplesRow.data))).where(SamplesRow.trial_id.in_(trials))
    documents = select(func.sum(func.length(TrialRow.document))).where(TrialRow.id.in_(trials))
    queries = (samples,) if samples_only else (samples, documents)
    return sum(int(session.scalar(query) or 0) for query in queries)


def _remove(session: Session, trials: Sequence[str], samples_only: bool) -> None:
    """Rows that refer to a trial go before it."""
    session.execute(delete(SamplesRow).where(SamplesRow.trial_id.in_(trials)))
    if samples_only:
        for trial in trials:  # so that nobody takes a trial without samples for one that measured none
            session.merge(LabelRow(trial_id=trial, key="samples", value="pruned"))
        return
    for table in (RunRow, VerdictRow, LabelRow, FigureRow):
        session.execute(delete(table).where(table.trial_id.in_(trials)))
    session.execute(delete(TrialRow).where(TrialRow.id.in_(trials)))
