"""Metrics that few trials hold: operators that fell back, and latency after minutes of heat. Absent: never passed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from seatrial_ci.figures import Series, fallback_ops, steady_samples, sustained_latencies
from seatrial_ci.gate.absolute import CANDIDATE, Judged, Metric, judge_limit
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.verdict import Check, Outcome
from seatrial_ci.gate.wording import between, exact, label, show
from seatrial_ci.statistics.intervals import percentile_interval
from seatrial_runner.records import Run, Trial, agent_arm

if TYPE_CHECKING:
    from seatrial_targets.budgets import Budgets

SUSTAINED = Metric("sustained_latency", "ns", "sustained", sustained_latencies)


def judge_seldom(trial: Trial, budgets: Budgets, settings: GateSettings, problems: tuple[str, ...]) -> Iterator[Judged]:
    """Judge ``max_fallback_ops`` and ``sustained_latency``; what was not measured is INVALID."""
    if budgets.max_fallback_ops is not None:
        yield Judged(_fallback(fallback_ops(trial, CANDIDATE), budgets.max_fallback_ops))
    if budgets.sustained_latency_ns is not None:
        yield Judged(_sustained(trial, float(budgets.sustained_latency_ns), settings, problems))


def _fallback(series: Series, most: int) -> Check:
    """A count: the same in every run; the greatest is judged where it is not."""
    if series.problem:
        return _invalid("fallback_ops", float(most), series.problem)
    worst = int(series.values.max())
    kept = worst <= most
    text = f"{worst} operators ran elsewhere than the target promises, {'within' if kept else 'over'} {most}"
    return Check(
        metric="fallback_ops",
        outcome=Outcome.PASS if kept else Outcome.FAIL,
        message=text,
        value=float(worst),
        limit=float(most),
        runs=len(series.values),
        method="by the runtime's own profile",
    )


def _sustained(trial: Trial, limit: float, settings: GateSettings, problems: tuple[str, ...]) -> Check:
    """Over several runs by their t-interval; of a single one, which takes half an hour, by its own samples.

    Throttling is what such a run is for: it does not spoil it. A reboot or another system does.
    """
    series = sustained_latencies(trial, CANDIDATE)
    spoiled = [problem for problem in problems if "throttled" not in problem]
    if series.problem or spoiled:
        return _invalid("sustained_latency", limit, series.problem or spoiled[0])
    if len(series.values) > 1:
        return judge_limit(SUSTAINED, series, limit, settings).check
    return _by_its_samples(series.runs[0], limit, settings)


def _by_its_samples(run: Run, limit: float, settings: GateSettings) -> Check:
    level = 1 - 2 * max(settings.alpha, settings.beta)
    found = percentile_interval(steady_samples(agent_arm(run, CANDIDATE)), 0.5, level)
    low, high = found.low, found.high
    outcome = Outcome.FAIL if low > limit else Outcome.PASS if high <= limit else Outcome.INCONCLUSIVE
    how = {Outcome.FAIL: "is over", Outcome.PASS: "is within"}.get(outcome, "can't be told from")
    text = (
        f"{label('sustained_latency')} {show(found.estimate, 'ns')} ({between(low, high, 'ns')}, one run, which can't "
        f"know how runs differ) {how} {exact(limit, 'ns')}"
    )
    return Check(
        metric="sustained_latency",
        outcome=outcome,
        message=text,
        unit="ns",
        value=found.estimate,
        low=low,
        high=high if math.isfinite(high) else None,
        confidence=1 - (1 - level) / 2,
        limit=limit,
        runs=1,
        method="order statistics within one run",
    )


def _invalid(metric: str, limit: float, why: str) -> Check:
    unit = "ns" if metric == "sustained_latency" else ""
    text = f"{label(metric)} was not measured: {why}"
    return Check.model_validate(
        {"metric": metric, "outcome": Outcome.INVALID, "message": text, "limit": limit, "unit": unit}
    )
