"""What a gate says, with its evidence.

History of the format (key ``schema``):
- ``seatrial.verdict/1``: first. Since then checks have gained ``severity`` and verdicts ``model``, with defaults.

History of the format of a policy's verdict:
- ``seatrial.policy-verdict/1``: first.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

VERDICT_SCHEMA: Literal["seatrial.verdict/1"] = "seatrial.verdict/1"
# Changes when the same trial could get another verdict. 2: the effect of the order is taken out of 12 pairs or more,
# a PASS of an absolute budget is at beta, unlike bundles are INVALID.
RULE = "sequential-trimmed-t/2"
POLICY_SCHEMA: Literal["seatrial.policy-verdict/1"] = "seatrial.policy-verdict/1"
Unit = Literal["ns", "bytes", "mJ", "dB", "ratio", "relative", "per s", "points", ""]
Severity = Literal["block", "warn"]


class Outcome(StrEnum):
    """INVALID is a measurement that can't be used; it is never called FAIL."""

    PASS = "PASS"  # noqa: S105
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"

    @property
    def exit_code(self) -> int:
        """0 PASS, 1 FAIL, 3 INVALID, 4 INCONCLUSIVE; 2 is for a wrong command."""
        return {"PASS": 0, "FAIL": 1, "INVALID": 3, "INCONCLUSIVE": 4}[self.value]


class Frozen(BaseModel):
    """Frozen; infinite numbers are written as text, since JSON has none."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Check(Frozen):
    """One metric's part of a verdict. ``value``, ``low``, ``high`` and ``limit`` are in ``unit``.

    ``low`` and ``high`` are the one-sided bounds that were compared with the limit, each at the level ``confidence``:
    an error rate split over all looks, and so wider than an interval that only describes. For a comparison with the
    baseline (unit "relative", 0.05 is 5 % slower) ``noise_sd`` is that of the per-pair log-ratios and ``mde`` the
    least true slow-down that so many pairs with this noise call a regression with 99 % probability.
    """

    metric: str
    outcome: Outcome
    message: str
    severity: Severity = "block"
    unit: Unit = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    limit: float | None = None
    ignore: float | None = None
    margin: float | None = None
    runs: int | None = None
    pairs: int | None = None
    noise_sd: float | None = None
    mde: float | None = None
    method: str = ""


class Verdict(Frozen):
    """The outcome is that of the worst check that blocks.

    ``model`` is its name in a policy, or empty; ``target`` is the candidate's; ``stamp`` names what is not real
    hardware, or is empty.
    """

    schema_: Literal["seatrial.verdict/1"] = Field(default=VERDICT_SCHEMA, alias="schema")
    rule: str = RULE
    outcome: Outcome
    reasons: tuple[str, ...]
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()
    stamp: str = ""
    trial_id: str
    device: str
    target: str
    candidate: str
    baseline: str = ""
    model: str = ""

    @property
    def exit_code(self) -> int:
        """What a command ends with."""
        return self.outcome.exit_code

    @property
    def fit_as_baseline(self) -> bool:
        """True when the candidate may serve as a later baseline: it passed, on real hardware."""
        return self.outcome is Outcome.PASS and not self.stamp


class PolicyVerdict(Frozen):
    """One verdict over several: a model on a device each. Its outcome is that of the worst."""

    schema_: Literal["seatrial.policy-verdict/1"] = Field(default=POLICY_SCHEMA, alias="schema")
    policy: str
    outcome: Outcome
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...]

    @property
    def exit_code(self) -> int:
        """What a command ends with."""
        return self.outcome.exit_code


def outcome_of(checks: Iterable[Check]) -> Outcome:
    """Return the outcome of a verdict: the worst of the checks that block; PASS when all of them only warn."""
    found = tuple(checks)
    blocking = [check.outcome for check in found if check.severity == "block"]
    return worst(blocking) if blocking or not found else Outcome.PASS


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome of the whole: FAIL before INVALID before INCONCLUSIVE before PASS.

    One metric that was validly measured beyond its budget fails the candidate, whatever happened to the others.
    Nothing at all is INVALID.
    """
    found = set(outcomes)
    order = (Outcome.FAIL, Outcome.INVALID, Outcome.INCONCLUSIVE, Outcome.PASS)
    return next((outcome for outcome in order if outcome in found), Outcome.INVALID)
