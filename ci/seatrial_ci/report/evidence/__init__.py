"""The evidence of a verdict, piece by piece: each module makes exhibits out of a trial, or says why it can't."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial_ci.gate.verdict import Verdict
from seatrial_ci.report.evidence.conditions import conditions
from seatrial_ci.report.evidence.layers import layers
from seatrial_ci.report.evidence.pairs import pairs
from seatrial_ci.report.evidence.past import Past, past
from seatrial_ci.report.evidence.power import power
from seatrial_ci.report.evidence.runs import runs
from seatrial_ci.report.evidence.session import session
from seatrial_ci.report.evidence.sustained import sustained
from seatrial_ci.report.evidence.variants import variants
from seatrial_ci.report.exhibit import Exhibit
from seatrial_runner.records import Trial

__all__ = ["Past", "exhibits", "variants"]


def exhibits(verdict: Verdict | None, trial: Trial, before: Past | None = None) -> Iterator[Exhibit]:
    """Yield the evidence in the order in which a reader asks for it."""
    yield pairs(verdict, trial)
    yield runs(trial)
    yield session(trial)
    yield conditions(trial)
    yield sustained(trial)
    yield power(trial)
    yield layers(trial)
    yield past(before)
