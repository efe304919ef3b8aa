"""A trial and its verdict as rows."""

from __future__ import annotations

import json

from sqlalchemy import select
from sqlalchemy.orm import Session

from seatrial_ci.gate.verdict import Verdict
from seatrial_ci.history.document import samples_of
from seatrial_ci.history.figures import figure_rows
from seatrial_ci.history.models import Artifact, DeviceRow, RunRow, TrialRow, VerdictRow
from seatrial_runner.records import BundleInfo, Trial


def add_trial(session: Session, trial: Trial, document: bytes) -> None:
    """Add a trial that is not kept yet; ``document`` is it without samples."""
    for bundle in trial.bundles.values():
        if session.get(Artifact, bundle.digest) is None:
            session.add(_artifact(bundle))
    baseline = trial.bundles.get("baseline")
    row = TrialRow(
        id=trial.id,
        device_id=_device_id(session, trial),
        candidate_digest=trial.bundles["candidate"].digest,
        baseline_digest=baseline.digest if baseline else None,
        started_unix_ns=trial.started_unix_ns,
        status=trial.status,
        document=document,
    )
    session.add(row)
    session.flush()
    session.add_all(_run_rows(trial))
    session.add_all(samples_of(trial))
    session.add_all(figure_rows(trial))


def add_verdict(session: Session, verdict: Verdict) -> None:
    """Add a verdict, unless the trial has one that says the same."""
    document = verdict.model_dump_json(by_alias=True)
    if session.scalar(select(VerdictRow.id).filter_by(trial_id=verdict.trial_id, document=document)) is None:
        session.add(
            VerdictRow(trial_id=verdict.trial_id, rule=verdict.rule, outcome=verdict.outcome.value, document=document)
        )


def _artifact(bundle: BundleInfo) -> Artifact:
    figures = json.loads(bundle.model_dump_json(include={"parity", "accuracy"}))
    return Artifact(
        digest=bundle.digest,
        name=_text(bundle.name),
        target=_text(bundle.target),
        precision=_text(bundle.precision),
        size_bytes=bundle.size_bytes,
        figures=figures,
    )


def _device_id(session: Session, trial: Trial) -> int:
    named = {key: _text(value) for key, value in trial.device.model_dump().items()}
    found = session.scalar(select(DeviceRow).filter_by(**named))
    if found is None:
        found = DeviceRow(**named)
        session.add(found)
        session.flush()
    return found.id


def _run_rows(trial: Trial) -> list[RunRow]:
    return [
        RunRow(
            trial_id=trial.id,
            run_index=run.index,
            kind=run.kind,
            status=run.status,
            invalid=_text(run.invalid),
            started_unix_ns=run.started_unix_ns,
            duration_ns=run.duration_ns,
        )
        for run in trial.runs
    ]


def _text(value: str) -> str:
    """Return ``value`` without NUL, which PostgreSQL's text can't hold; the document keeps it."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
