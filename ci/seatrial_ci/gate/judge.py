"""The gate: budgets and baseline against a trial. Pure, so that recorded data get the verdict that was given live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seatrial_ci.gate.absolute import Judged, judge_measured, judge_stated
from seatrial_ci.gate.likeness import judge_likeness
from seatrial_ci.gate.others import judge_others
from seatrial_ci.gate.relative import METRIC, chosen, judge_regression
from seatrial_ci.gate.remarks import remarks
from seatrial_ci.gate.seldom import judge_seldom
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.state import notes, timing_problems, trial_problems
from seatrial_ci.gate.verdict import Check, Outcome, Verdict, outcome_of
from seatrial_runner.records import Trial
from seatrial_targets.errors import UserError

if TYPE_CHECKING:
    from seatrial_targets.budgets import Budgets

DEFAULT = GateSettings()


@dataclass(frozen=True)
class Wanted:
    """How many more runs of each kind would take every open metric to its next look.

    ``duets`` counts duet runs, ``pairs`` ABBA pairs of separate solo runs (where duets are impossible), the others
    count runs of the candidate. False when all is decided.
    """

    duets: int = 0
    pairs: int = 0
    solos: int = 0
    memories: int = 0
    energies: int = 0

    def __bool__(self) -> bool:
        return any((self.duets, self.pairs, self.solos, self.memories, self.energies))


def judge(trial: Trial, budgets: Budgets, settings: GateSettings = DEFAULT) -> Verdict:
    """Judge ``trial`` by ``budgets`` and, where it holds a baseline, by the comparison with it.

    What has a budget but was not measured is INVALID, never passed. Raises UserError when there is nothing to judge.
    """
    checks = [_severity(judged.check, budgets) for judged in _judged(trial, budgets, settings)]
    if not checks:
        raise UserError("nothing to judge: give a budgets file with at least one limit, or a baseline")
    checks += [Check(metric="trial", outcome=Outcome.INVALID, message=p) for p in trial_problems(trial, settings)]
    if compares(budgets):
        checks += judge_likeness(trial, settings)
    outcome = outcome_of(checks)
    pairs = next((check.pairs for check in checks if check.metric == METRIC), None)
    baseline = trial.bundles.get("baseline")
    return Verdict(
        outcome=outcome,
        reasons=tuple(c.message for c in checks if c.outcome is outcome and c.severity == "block"),
        checks=tuple(checks),
        notes=(*notes(trial), *remarks(trial, settings, pairs), *_not_compared(trial, budgets), *_warnings(checks)),
        stamp=trial.device.stamp,
        trial_id=trial.id,
        device=trial.device.name,
        target=trial.bundles["candidate"].target,
        candidate=trial.bundles["candidate"].name,
        baseline=baseline.name if baseline else "",
    )


def runs_wanted(trial: Trial, budgets: Budgets, settings: GateSettings = DEFAULT) -> Wanted:
    """Return the runs to make next; nothing when every metric is decided, or more runs can't decide it.

    Nothing, too, once a check that blocks has failed: the verdict can't change any more. A caller that measures in a
    loop must stop when a round added no run that counts: this function can't know that a device has no meter, or
    that every run fails.
    """
    most = {"duet": 0, "solo": 0, "memory": 0, "energy": 0, "sustained": 0}
    found = [judged for judged in _judged(trial, budgets, settings) if _may_wait_for(judged.check, budgets)]
    if any(_final_failure(judged.check, settings) for judged in found):
        return Wanted()
    for judged in found:
        if judged.kind:
            most[judged.kind] = max(most[judged.kind], judged.more)
    separate = chosen(trial, settings) == "separate"
    duets, pairs = (0, most["duet"]) if separate else (most["duet"], 0)
    return Wanted(duets, pairs, most["solo"], most["memory"], most["energy"])


def _judged(trial: Trial, budgets: Budgets, settings: GateSettings) -> Iterator[Judged]:
    problems = timing_problems(trial, settings)
    yield from judge_measured(trial, budgets, settings, problems)
    yield from judge_stated(trial, budgets)
    yield from judge_others(trial, budgets, settings, problems)
    yield from judge_seldom(trial, budgets, settings, problems)
    wanted = budgets.regression
    if wanted is not None and "baseline" in trial.bundles:
        yield judge_regression(trial, settings.rule(wanted.ignore, wanted.margin), settings, problems)
    elif wanted is not None and "regression" in budgets.model_fields_set:
        text = "the budgets want a comparison, but the trial has no baseline; name one with --baseline"
        yield Judged(Check(metric="latency_regression", outcome=Outcome.INVALID, message=text, unit="relative"))


def metric_of(check: str) -> str:
    """Return the metric that a check is about: both 'peak_memory' and 'peak_memory_regression' are peak_memory."""
    name = check.partition(" ")[0]
    return name if name == "latency_regression" else name.removesuffix("_regression")


def compares(budgets: Budgets) -> bool:
    """Return whether anything is held against the baseline."""
    return budgets.regression is not None or bool(budgets.regressions) or bool(budgets.accuracy_drop)


def _final_failure(check: Check, settings: GateSettings) -> bool:
    return check.outcome is Outcome.FAIL and not (settings.screening and check.metric == METRIC)


def _severity(check: Check, budgets: Budgets) -> Check:
    return check.model_copy(update={"severity": "warn"}) if metric_of(check.metric) in budgets.warn else check


def _may_wait_for(check: Check, budgets: Budgets) -> bool:
    """A metric that only warns is judged by the runs that there are; nobody waits for more."""
    return metric_of(check.metric) not in budgets.warn


def _warnings(checks: list[Check]) -> tuple[str, ...]:
    found = [c for c in checks if c.severity == "warn" and c.outcome is not Outcome.PASS]
    return tuple(f"warning only, {c.outcome.value}: {c.message}" for c in found)


def _not_compared(trial: Trial, budgets: Budgets) -> tuple[str, ...]:
    if "baseline" in trial.bundles and budgets.regression is None:
        return ("the comparison with the baseline is switched off by the budgets",)
    return ()
