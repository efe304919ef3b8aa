"""A verdict together with the trial that it is on, or a trial that nothing was asked of: what reports are made of."""

from __future__ import annotations

from dataclasses import dataclass

from seatrial_ci.gate.verdict import Verdict
from seatrial_runner.records import Trial


@dataclass(frozen=True)
class Judgement:
    """``trial`` is None for a cell of a policy of which nothing was measured; its verdict is INVALID then."""

    verdict: Verdict
    trial: Trial | None


@dataclass(frozen=True)
class Measured:
    """A trial without a limit and without a baseline: it has figures and evidence, and no verdict."""

    trial: Trial


Subject = Judgement | Measured
