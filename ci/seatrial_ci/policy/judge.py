"""From the trials of all cells to one verdict. Pure: what was measured live is judged again from its files alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from seatrial_ci.gate.judge import judge
from seatrial_ci.gate.likeness import METRIC as LIKENESS
from seatrial_ci.gate.likeness import unlike_sessions
from seatrial_ci.gate.relative import METRIC
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.verdict import Check, Outcome, PolicyVerdict, Verdict, outcome_of, worst
from seatrial_ci.policy.cells import Cell
from seatrial_ci.policy.schema import Policy
from seatrial_ci.statistics.family import Family
from seatrial_runner.records import Trial
from seatrial_targets.budgets import Budgets


@dataclass(frozen=True)
class Evidence:
    """What was measured of a cell: its trial, fresh pairs where it was flagged, or why there is none."""

    trial: Trial | None = None
    confirmation: Trial | None = None
    missing: str = ""


def judge_policy(policy: Policy, cells: Sequence[Cell], found: Mapping[str, Evidence]) -> PolicyVerdict:
    """Judge every cell of ``policy`` and return the one verdict.

    ``found`` maps a cell's name to its evidence; a cell without a trial is INVALID. Several comparisons are screened
    and confirmed (`Family`); the error rate of the other metrics is split evenly over the cells.
    """
    flagged = flagged_cells(policy, cells, found)
    verdicts = tuple(_cell(policy, cells, cell, found.get(cell.name, Evidence()), flagged) for cell in cells)
    outcome = worst(verdict.outcome for verdict in verdicts)
    return PolicyVerdict(
        policy=policy.name,
        outcome=outcome,
        reasons=tuple(f"{v.model} on {v.device}: {r}" for v in verdicts if v.outcome is outcome for r in v.reasons),
        notes=_notes(cells, flagged),
        verdicts=verdicts,
    )


def screening(policy: Policy, cells: int) -> GateSettings:
    """Return how a cell is judged first.

    ``policy.alpha`` holds for the whole verdict: by Bonferroni's inequality it is split evenly over the questions that
    can fail it, and of those beside the p50's comparison, which has its screening, over the cells.
    """
    family, own = _family(policy, cells), policy.alpha / max(1, policy.metrics.noisy)
    settings = _settings(policy, own / cells)
    rule = family.screening(replace(settings.rule(0.01, 0.05), alpha=own))
    change = {"looks": rule.looks, "pair_alpha": rule.alpha, "screening": cells > 1}
    return settings.model_copy(update=change)


def confirming(policy: Policy, cells: int, flagged: int) -> GateSettings:
    """Return how the fresh pairs of a flagged cell are judged."""
    settings = _settings(policy, policy.alpha / max(1, policy.metrics.noisy))
    rule = _family(policy, cells).confirmation(settings.rule(0.01, 0.05), flagged)
    return settings.model_copy(update={"looks": rule.looks, "pair_alpha": rule.alpha})


def _settings(policy: Policy, alpha: float) -> GateSettings:
    chosen = {"looks": policy.looks} if policy.looks else {}
    return GateSettings.model_validate(
        {
            "alpha": alpha,
            "beta": policy.beta,
            "comparison": policy.comparison,
            "unlike": policy.unlike,
            **chosen,
        }
    )


def _family(policy: Policy, cells: int) -> Family:
    found = Family(cells)
    return replace(found, looks=policy.looks or found.looks, fresh=policy.fresh_looks or found.fresh)


def confirming_budgets(policy: Policy) -> Budgets:
    """Return what the fresh pairs are for: the comparison alone."""
    return Budgets(regression=policy.budgets().regression)


def flagged_cells(policy: Policy, cells: Sequence[Cell], found: Mapping[str, Evidence]) -> tuple[str, ...]:
    """Return the names of the cells whose comparison stood out in the screening; none where there is one cell."""
    if len(cells) < 2 or policy.budgets().regression is None:
        return ()
    settings, budgets = screening(policy, len(cells)), policy.budgets()
    trials = {cell.name: found[cell.name].trial for cell in cells if cell.name in found}
    judged = {name: judge(trial, budgets, settings) for name, trial in trials.items() if trial is not None}
    return tuple(name for name, verdict in judged.items() if _outcome(verdict) is Outcome.FAIL)


def _outcome(verdict: Verdict) -> Outcome | None:
    return next((check.outcome for check in verdict.checks if check.metric == METRIC), None)


def _cell(policy: Policy, cells: Sequence[Cell], cell: Cell, evidence: Evidence, flagged: Sequence[str]) -> Verdict:
    if evidence.trial is None:
        return _missing(cell, evidence.missing or f"there is no trial of {cell.model} on {cell.device}")
    verdict = judge(evidence.trial, policy.budgets(), screening(policy, len(cells)))
    checks = [_confirmed(policy, cells, check, evidence, cell.name, flagged) for check in verdict.checks]
    checks = [_softened(policy, check) for check in checks]
    outcome = outcome_of(checks)
    reasons = tuple(c.message for c in checks if c.outcome is outcome and c.severity == "block")
    said = {check.message for check in verdict.checks if check.severity == "warn"}
    warned = [c for c in checks if c.severity == "warn" and c.outcome is not Outcome.PASS and c.message not in said]
    notes = (*verdict.notes, *(f"warning only, {c.outcome.value}: {c.message}" for c in warned))
    return verdict.model_copy(
        update={"checks": tuple(checks), "outcome": outcome, "reasons": reasons, "notes": notes, "model": cell.model}
    )


def _confirmed(
    policy: Policy, cells: Sequence[Cell], check: Check, evidence: Evidence, name: str, flagged: Sequence[str]
) -> Check:
    """Put the answer of the fresh pairs in the place of a screening that flagged the cell."""
    if check.metric != METRIC or name not in flagged:
        return check
    if evidence.trial is None or evidence.confirmation is None:
        text = f"the screening says: {check.message}; the fresh pairs that must confirm it were not measured"
        return check.model_copy(update={"outcome": Outcome.INCONCLUSIVE, "message": text})
    unlike = unlike_sessions((evidence.trial, evidence.confirmation))
    if unlike:
        text = f"the fresh pairs can't confirm the screening: {unlike[0]}"
        return check.model_copy(update={"outcome": Outcome.INVALID, "message": text})
    settings = confirming(policy, len(cells), len(flagged))
    second = judge(evidence.confirmation, confirming_budgets(policy), settings)
    invalid = next((c for c in second.checks if c.metric == "trial"), None)
    answer = invalid or next(c for c in second.checks if c.metric == METRIC)
    text = f"{answer.message}, fresh after a screening that said {check.value or 0:+.2%}"
    return answer.model_copy(update={"metric": METRIC, "message": text, "severity": check.severity})


def _softened(policy: Policy, check: Check) -> Check:
    """Let a check only warn where the metric or the policy says so.

    Never that a trial broke off, or was not made at all; and whether unlike bundles warn, `unlike` alone says.
    """
    if check.metric in ("trial", LIKENESS):
        return check
    asked = policy.metrics.of(check.metric)
    actions = {
        Outcome.INCONCLUSIVE: (asked and asked.inconclusive) or policy.inconclusive,
        Outcome.INVALID: (asked and asked.invalid) or policy.invalid,
    }
    return check.model_copy(update={"severity": "warn"}) if actions.get(check.outcome) == "warn" else check


def _missing(cell: Cell, why: str) -> Verdict:
    return Verdict(
        outcome=Outcome.INVALID,
        reasons=(why,),
        checks=(Check(metric="trial", outcome=Outcome.INVALID, message=why),),
        trial_id="",
        device=cell.device,
        target=cell.target,
        candidate=cell.model,
        model=cell.model,
    )


def _notes(cells: Sequence[Cell], flagged: Sequence[str]) -> tuple[str, ...]:
    if len(cells) < 2:
        return ()
    said = f"{len(cells)} cells share one error rate: each was screened"
    return (f"{said}; {len(flagged)} stood out and {'was' if len(flagged) == 1 else 'were'} measured again",)
