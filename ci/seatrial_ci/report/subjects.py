"""What a report is about, in the words that its parts share: judged or only measured."""

from __future__ import annotations

from dataclasses import dataclass

from seatrial_ci.gate.checks import reasons, title
from seatrial_ci.gate.state import notes
from seatrial_ci.gate.verdict import Check, Outcome, Verdict
from seatrial_ci.judgement import Judgement, Subject
from seatrial_runner.records import Trial

MEASURED = "MEASURED"
NOT_JUDGED = "not judged: it has no limit and no baseline"
# Whose evidence is wanted most.
FIRST = (Outcome.FAIL.value, Outcome.INVALID.value, Outcome.INCONCLUSIVE.value, MEASURED, Outcome.PASS.value)


@dataclass(frozen=True)
class Part:
    """A subject as a page or a text shows it."""

    outcome: str
    title: str
    model: str
    device: str
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    stamp: str
    checks: tuple[Check, ...]
    rule: str
    verdict: Verdict | None
    trial: Trial | None


def part_of(subject: Subject) -> Part:
    """Return what is said of a verdict, or of a trial that has none."""
    if isinstance(subject, Judgement):
        verdict = subject.verdict
        return Part(
            outcome=verdict.outcome.value,
            title=title(verdict),
            model=verdict.model or verdict.candidate,
            device=verdict.device,
            reasons=reasons(verdict),
            notes=verdict.notes,
            stamp=verdict.stamp,
            checks=verdict.checks,
            rule=verdict.rule,
            verdict=verdict,
            trial=subject.trial,
        )
    trial, bundle = subject.trial, subject.trial.bundles["candidate"]
    return Part(
        outcome=MEASURED,
        title=f"{bundle.name} ({bundle.target}) on {trial.device.name}",
        model=bundle.name,
        device=trial.device.name,
        reasons=(NOT_JUDGED,),
        notes=notes(trial),
        stamp=trial.device.stamp,
        checks=(),
        rule="",
        verdict=None,
        trial=trial,
    )
