"""Metrics beside the p50's duets, against the baseline's figures from separate runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seatrial_ci.figures import Series
from seatrial_ci.gate.absolute import METRICS, Judged, Metric
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.verdict import Check, Outcome
from seatrial_ci.gate.wording import between, exact, label, show
from seatrial_ci.statistics.runs import LogRatio, log_ratio_interval
from seatrial_runner.records import Trial

if TYPE_CHECKING:
    from seatrial_targets.budgets import Budgets, Regression

BY_NAME = {metric.name: metric for metric in METRICS.values()}
METHOD = "Welch t over runs, log scale"


def judge_others(trial: Trial, budgets: Budgets, settings: GateSettings, problems: tuple[str, ...]) -> Iterator[Judged]:
    """Judge ``budgets.regressions`` and ``accuracy_drop``."""
    for compared, wanted in budgets.regressions.items():
        if "baseline" not in trial.bundles:
            yield Judged(_no_baseline(f"{compared}_regression"))
        elif compared == "size":
            yield Judged(_sizes(trial, wanted))
        else:
            yield _judge_ratio(trial, BY_NAME[compared], wanted, settings, problems)
    yield from (Judged(_drop(trial, name, most)) for name, most in budgets.accuracy_drop.items())


def _judge_ratio(
    trial: Trial, metric: Metric, wanted: Regression, settings: GateSettings, problems: tuple[str, ...]
) -> Judged:
    """Look by look over the runs of both bundles; the worse direction of a throughput is down."""
    sides = metric.series(trial, "candidate"), metric.series(trial, "baseline")
    looks = [look for look in settings.solo_looks if look >= max(metric.least_runs, 3)] or [metric.least_runs]
    spoiled = problems[0] if metric.timed and problems else ""
    problem = next((side.problem for side in sides if side.problem), spoiled)
    if problem:
        pending = all(side.pending or not side.problem for side in sides) and not problems
        text = f"{label(metric.name)} was not compared: {problem}"
        return Judged(_check(metric, wanted, Outcome.INVALID, text), metric.kind, looks[0] if pending else 0)
    made = min(len(side.values) for side in sides)
    following = next((look for look in looks if look > made), made)
    if made < looks[0]:
        text = f"{label(metric.name)}: {made} runs of each bundle; the first look needs {looks[0]}"
        return Judged(_check(metric, wanted, Outcome.INCONCLUSIVE, text), metric.kind, following - made)
    check = _look(metric, sides, max(look for look in looks if look <= made), len(looks), wanted, settings)
    return Judged(check, metric.kind, following - made if check.outcome is Outcome.INCONCLUSIVE else 0)


def _look(
    metric: Metric, sides: tuple[Series, Series], look: int, looks: int, wanted: Regression, settings: GateSettings
) -> Check:
    one, other = (side.values[:look] for side in (sides if metric.most else sides[::-1]))
    found = log_ratio_interval(one, other, settings.alpha / looks, settings.beta / looks)
    outcome = Outcome.INCONCLUSIVE
    if found.low > math.log1p(wanted.ignore):
        outcome = Outcome.FAIL
    elif found.high < math.log1p(wanted.margin):
        outcome = Outcome.PASS
    check = _check(metric, wanted, outcome, _sentence(metric, found, outcome, wanted, look), found)
    confidence = 1 - max(settings.alpha, settings.beta) / looks
    return check.model_copy(update={"runs": look, "confidence": confidence})


def _sentence(metric: Metric, found: LogRatio, outcome: Outcome, wanted: Regression, look: int) -> str:
    said = {
        Outcome.PASS: f"no worse than the baseline by {exact(wanted.margin, 'ratio')} or more",
        Outcome.FAIL: f"worse than the baseline by more than {exact(wanted.ignore, 'ratio')}",
    }.get(outcome, "can't be told from the baseline's yet")
    low, high = math.expm1(found.low), math.expm1(found.high)
    figures = f"{show(math.expm1(found.estimate), 'relative')} ({between(low, high, 'relative')})"
    inverse = "" if metric.most else " in time per inference"
    return f"{label(metric.name)} {said}: {figures}{inverse} from {look} runs of each"


def _sizes(trial: Trial, wanted: Regression) -> Check:
    """Sizes are exact: within the margin passes, beyond it fails."""
    sizes = [float(trial.bundles[role].size_bytes) for role in ("candidate", "baseline")]
    value = sizes[0] / sizes[1] - 1 if sizes[1] else math.inf
    kept = value < wanted.margin
    text = f"size {show(sizes[0], 'bytes')} is {show(value, 'relative')} of the baseline's {show(sizes[1], 'bytes')}"
    return Check(
        metric="size_regression",
        outcome=Outcome.PASS if kept else Outcome.FAIL,
        message=f"{text}, {'within' if kept else 'beyond'} the margin of {exact(wanted.margin, 'ratio')}",
        unit="relative",
        value=value,
        ignore=wanted.ignore,
        margin=wanted.margin,
        method="stated by the bundles",
    )


def _drop(trial: Trial, name: str, most: float) -> Check:
    metric = f"accuracy {name} drop"
    if "baseline" not in trial.bundles:
        return _no_baseline(metric)
    values = [trial.bundles[role].accuracy.get(name) for role in ("candidate", "baseline")]
    if any(value is None or math.isnan(value) for value in values):
        who = "candidate" if values[0] is None else "baseline"
        why = f"the {who} states no accuracy {name!r}; export it again with what measures it"
        text = f"{label(metric)} was not measured: {why}"
        return Check(metric=metric, outcome=Outcome.INVALID, message=text, unit="points", limit=most)
    drop = float(values[1] or 0) - float(values[0] or 0)
    kept = drop <= most
    text = f"accuracy {name} {values[0]:.4g} against {values[1]:.4g}: a drop of {drop:.4g}"
    return Check(
        metric=metric,
        outcome=Outcome.PASS if kept else Outcome.FAIL,
        message=f"{text}, {'within' if kept else 'over'} {most:.4g}",
        unit="points",
        value=drop,
        limit=most,
        method="stated by the bundles",
    )


def _no_baseline(metric: str) -> Check:
    text = f"{label(metric)} can't be judged: the trial has no baseline; name one with --baseline"
    return Check(metric=metric, outcome=Outcome.INVALID, message=text, unit="relative")


def _check(metric: Metric, wanted: Regression, outcome: Outcome, message: str, found: LogRatio | None = None) -> Check:
    return Check(
        metric=f"{metric.name}_regression",
        outcome=outcome,
        message=message,
        unit="relative",
        value=math.expm1(found.estimate) if found else None,
        low=math.expm1(found.low) if found else None,
        high=math.expm1(found.high) if found else None,
        ignore=wanted.ignore,
        margin=wanted.margin,
        noise_sd=found.sd if found else None,
        method=METHOD,
    )
