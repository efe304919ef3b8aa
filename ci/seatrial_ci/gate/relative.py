"""The candidate against its baseline, run again beside it: the sequential rule on per-pair log-ratios."""

from __future__ import annotations

import math

from seatrial_ci.figures import Comparison, Series, comparison_of, duet_log_ratios, percentiles, separate_log_ratios
from seatrial_ci.gate.absolute import Judged
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.verdict import Check, Outcome
from seatrial_ci.gate.wording import between, exact, show
from seatrial_ci.statistics.runs import log_ratio_interval
from seatrial_ci.statistics.sequential import Look, Replay, SequentialRule, replay
from seatrial_ci.statistics.validity import established_trend
from seatrial_runner.records import Trial

METRIC = "latency_regression"
METHODS: dict[Comparison, str] = {"duet": "duet", "separate": "separate ABBA"}
OUTCOMES = {
    "pass": Outcome.PASS,
    "fail": Outcome.FAIL,
    "go on": Outcome.INCONCLUSIVE,
    "inconclusive": Outcome.INCONCLUSIVE,
}


def judge_regression(trial: Trial, rule: SequentialRule, settings: GateSettings, problems: tuple[str, ...]) -> Judged:
    """Judge the pairs of ``trial`` look by look, exactly as they were judged while they were measured."""
    method = chosen(trial, settings)
    series = duet_log_ratios(trial) if method == "duet" else separate_log_ratios(trial)
    if series.problem:
        text = f"the bundles were not compared: {series.problem}"
        return Judged(_check(Outcome.INVALID, text, rule, method), "duet", rule.looks[0] if series.pending else 0)
    found = replay(series.values, rule, series.order)
    if not found.looks:
        seen = f"{found.pairs_seen} {METHODS[method]} pair{'s' * (found.pairs_seen != 1)}"
        text = f"{seen}; the first look needs {rule.looks[0]}"
        return Judged(_check(Outcome.INCONCLUSIVE, text, rule, method), "duet", found.wanted)
    look = found.looks[-1]
    spoiled = problems or _spoiled(series, look, settings) or contradiction(trial, method, look, rule)
    if spoiled:
        return Judged(
            _check(Outcome.INVALID, f"the comparison can't be used: {spoiled[0]}", rule, method, look), "duet"
        )
    return Judged(
        _check(OUTCOMES[look.decision], _sentence(look, found, rule, method), rule, method, look), "duet", found.wanted
    )


def chosen(trial: Trial, settings: GateSettings) -> Comparison:
    """Return how the bundles are compared: what the settings say, else what the trial holds."""
    if settings.comparison != "auto":
        return settings.comparison
    return comparison_of(trial)


def solo_log_ratio(trial: Trial) -> tuple[float, float, float] | None:
    """Return ln(candidate / baseline) of the solo p50s with its two-sided 99 % Welch interval, or None.

    None when there are fewer than 3 solo runs of either bundle. Welch-Satterthwaite degrees of freedom.
    """
    sides = [percentiles(trial, name, 0.5).values for name in ("candidate", "baseline")]
    if min(len(x) for x in sides) < 3:
        return None
    found = log_ratio_interval(sides[0], sides[1], 0.005, 0.005)
    return found.estimate, found.low, found.high


def contradiction(trial: Trial, method: Comparison, look: Look, rule: SequentialRule) -> tuple[str, ...]:
    """Return why a duet's decision can't stand beside the solo runs: each model evicts the other's caches in a duet.

    Only a clear contradiction counts: the whole 99 % interval of the solo ratio on the other side of the limit.
    """
    solo = solo_log_ratio(trial) if method == "duet" else None
    if solo is None:
        return ()
    ignore, margin = rule.limits
    wrong = (look.decision == "pass" and solo[1] > margin) or (look.decision == "fail" and solo[2] < ignore)
    if not wrong:
        return ()
    said = between(math.expm1(solo[1]), math.expm1(solo[2]), "relative")
    return (f"duets say {show(math.expm1(look.estimate), 'relative')}, solo runs {said}; compare by separate runs",)


def _spoiled(series: Series, look: Look, settings: GateSettings) -> tuple[str, ...]:
    if look.se == 0:
        return ("all pairs gave the same ratio: the device's clock is too coarse for this model",)
    trend = established_trend(series.values[: look.pairs])
    if abs(trend) > math.log1p(settings.drift_limit):
        return (f"the ratio surely drifted by {math.expm1(trend) * 100:+.1f} % during the trial",)
    return ()


def _sentence(look: Look, found: Replay, rule: SequentialRule, method: Comparison) -> str:
    low, high = math.expm1(look.low), math.expm1(look.high)
    said = {
        "pass": f"no regression of {exact(rule.margin, 'ratio')} or more",
        "fail": f"slower than the baseline by more than {exact(rule.ignore, 'ratio')}",
        "go on": f"not decided yet: {found.wanted} more pairs to the next look",
        "inconclusive": f"{found.pairs_seen} pairs can't tell; quieten the device or widen the margin",
    }[look.decision]
    zone = "; it lies between ignore and margin, where either outcome is right" if _indifferent(look, rule) else ""
    return (
        f"{said}: {show(math.expm1(look.estimate), 'relative')} ({between(low, high, 'relative')}) "
        f"from {look.pairs} {METHODS[method]} pairs{zone}"
    )


def _indifferent(look: Look, rule: SequentialRule) -> bool:
    ignore, margin = rule.limits
    return ignore < look.estimate < margin


def _check(outcome: Outcome, message: str, rule: SequentialRule, method: Comparison, look: Look | None = None) -> Check:
    return Check(
        metric=METRIC,
        outcome=outcome,
        message=message,
        unit="relative",
        value=math.expm1(look.estimate) if look else None,
        low=math.expm1(look.low) if look else None,
        high=math.expm1(look.high) if look else None,
        confidence=1 - max(rule.alpha, rule.beta) / len(rule.looks) if look else None,
        ignore=rule.ignore,
        margin=rule.margin,
        pairs=look.pairs if look else None,
        noise_sd=look.sd if look else None,
        mde=math.expm1(look.mde) if look else None,
        method=METHODS[method],
    )
