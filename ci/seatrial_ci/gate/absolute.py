"""Absolute budgets: figures over runs by their bounds, figures of the bundle itself as they stand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from seatrial_ci.figures import (
    BundleRole,
    Series,
    cold_loads,
    drift_within,
    energies,
    peak_memory,
    percentiles,
    throughputs,
)
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.verdict import Check, Outcome, Unit
from seatrial_ci.gate.wording import between, exact, label, show
from seatrial_ci.statistics.runs import RunInterval, run_interval
from seatrial_ci.statistics.validity import established_level, established_trend, support_of
from seatrial_runner.records import RunKind, Trial

if TYPE_CHECKING:
    from seatrial_targets.budgets import Budgets

CANDIDATE: Literal["candidate"] = "candidate"
STATED = "stated by the bundle"
METHOD = "t-interval over runs, log scale"


@dataclass(frozen=True)
class Judged:
    """A check, and how many more runs of which kind would take it to its next look (0: decided, or hopeless)."""

    check: Check
    kind: RunKind | None = None
    more: int = 0


class SeriesOf(Protocol):
    """What gives a metric's figures, one per run, of a bundle."""

    def __call__(self, trial: Trial, bundle: BundleRole, /) -> Series:
        """Return the figures of ``bundle`` in ``trial``."""


@dataclass(frozen=True)
class Metric:
    """A figure that is judged over runs: its name, unit, kind of run, and how to get it and its looks."""

    name: str
    unit: Unit
    kind: RunKind
    series: SeriesOf
    least_runs: int = 2
    most: bool = True  # the limit is the most that is allowed; False: the least
    timed: bool = True  # spoiled by throttling; memory is not
    drifts: bool = False  # samples within a run can be looked at for drift


def _percentile(name: str, level: float) -> Metric:
    runs = support_of(level).runs
    return Metric(name, "ns", "solo", lambda trial, bundle: percentiles(trial, bundle, level), runs, drifts=True)


METRICS: dict[str, Metric] = {
    "latency_p50_ns": _percentile("latency_p50", 0.5),
    "latency_p90_ns": _percentile("latency_p90", 0.9),
    "latency_p99_ns": _percentile("latency_p99", 0.99),
    "cold_load_ns": Metric("cold_load", "ns", "solo", cold_loads),
    "throughput_per_s": Metric("throughput", "per s", "solo", throughputs, most=False, drifts=True),
    "peak_memory_bytes": Metric("peak_memory", "bytes", "memory", peak_memory, timed=False),
    "energy_per_inference_mj": Metric("energy_per_inference", "mJ", "energy", energies),
}


def judge_measured(
    trial: Trial, budgets: Budgets, settings: GateSettings, problems: tuple[str, ...]
) -> Iterator[Judged]:
    """Judge every budget on a figure over runs. ``problems`` make those that depend on time INVALID."""
    for field, metric in METRICS.items():
        limit = getattr(budgets, field)
        if limit is None:
            continue
        judged = judge_limit(metric, metric.series(trial, CANDIDATE), float(limit), settings)
        yield _spoiled(judged, problems) if problems and metric.timed else judged


def judge_limit(metric: Metric, series: Series, limit: float, settings: GateSettings) -> Judged:
    """Judge a series of per-run figures against ``limit``, by the latest look for which there are enough runs.

    FAIL when the lower bound, one-sided at 1 - alpha / looks, exceeds the limit, PASS when the upper one, at
    1 - beta / looks, does not, else more runs; for a figure that has a least, the other way round. By Bonferroni's
    inequality that holds at whichever look it is judged, so that runs which were made anyway are used. What was not
    measured is INVALID.
    """
    looks = [look for look in settings.solo_looks if look >= metric.least_runs] or [metric.least_runs]
    if series.problem:
        check = _check(metric, limit, Outcome.INVALID, f"{label(metric.name)} was not measured: {series.problem}")
        return Judged(check, metric.kind, looks[0] if series.pending else 0)
    made = len(series.values)
    following = next((look for look in looks if look > made), made)
    if made < looks[0]:
        return Judged(_too_few(metric, series, limit, looks[0]), metric.kind, following - made)
    latest = max(look for look in looks if look <= made)
    check = _look(metric, series, latest, limit, len(looks), settings)
    return Judged(check, metric.kind, following - made if check.outcome is Outcome.INCONCLUSIVE else 0)


def judge_stated(trial: Trial, budgets: Budgets) -> Iterator[Judged]:
    """Judge size, parity and accuracy of the candidate: figures of the bundle, without noise from the device."""
    bundle = trial.bundles[CANDIDATE]
    told = f"computed by the device from {bundle.evaluated.samples} samples" if bundle.evaluated else STATED
    if budgets.size_bytes is not None:
        yield _stated("size", "bytes", float(bundle.size_bytes), float(budgets.size_bytes), most=True)
    if budgets.parity_sqnr_db is not None:
        yield _stated("parity_sqnr", "dB", bundle.parity.get("sqnr_db"), budgets.parity_sqnr_db, False, told)
    if budgets.top1_agreement is not None:
        yield _stated(
            "top1_agreement", "ratio", bundle.parity.get("top1_agreement"), budgets.top1_agreement, False, told
        )
    for name, least in budgets.accuracy.items():
        yield _stated(f"accuracy {name}", "", bundle.accuracy.get(name), least, False, told)


def _stated(name: str, unit: Unit, value: float | None, limit: float, most: bool, told: str = STATED) -> Judged:
    if value is None or math.isnan(value):
        text = f"{label(name)} was not measured: the bundle states none; export it again with what measures it"
        return Judged(Check(metric=name, outcome=Outcome.INVALID, unit=unit, limit=limit, message=text))
    kept = value <= limit if most else value >= limit
    word = ("within" if kept else "over") if most else ("at least" if kept else "below")
    return Judged(
        Check(
            metric=name,
            outcome=Outcome.PASS if kept else Outcome.FAIL,
            unit=unit,
            value=value,
            limit=limit,
            method=told,
            message=f"{label(name)} {show(value, unit)} is {word} {exact(limit, unit)}",
        )
    )


def _look(metric: Metric, series: Series, look: int, limit: float, looks: int, settings: GateSettings) -> Check:
    levels = (settings.alpha / looks, settings.beta / looks)
    found = run_interval(series.values[:look], *(levels if metric.most else levels[::-1]))
    drift = _drift(metric, series, look, settings)
    low, high = found.low / math.exp(drift), found.high * math.exp(drift)
    outcome = _outcome(metric, low, high, limit)
    if outcome is Outcome.INCONCLUSIVE and drift and not found.low <= limit < found.high:
        outcome = Outcome.INVALID
    message = _sentence(metric, found, low, high, limit, outcome, drift)
    check = _check(metric, limit, outcome, message, found, (low, high))
    return check.model_copy(update={"confidence": 1 - max(levels)})


def _outcome(metric: Metric, low: float, high: float, limit: float) -> Outcome:
    kept, broken = (high <= limit, low > limit) if metric.most else (low >= limit, high < limit)
    return Outcome.FAIL if broken else Outcome.PASS if kept else Outcome.INCONCLUSIVE


def _drift(metric: Metric, series: Series, look: int, settings: GateSettings) -> float:
    """How much the figures surely drifted, on the log scale, as a size; 0 up to the limit."""
    if not metric.timed:
        return 0.0
    prefix = Series(series.values[:look], series.runs[:look])
    within = established_level(drift_within(prefix, CANDIDATE)) if metric.drifts else 0.0
    drift = max(abs(within), abs(established_trend(np.log(prefix.values))))
    return drift if drift > math.log1p(settings.drift_limit) else 0.0


def _sentence(
    metric: Metric, found: RunInterval, low: float, high: float, limit: float, outcome: Outcome, drift: float
) -> str:
    how = {
        Outcome.PASS: "is within" if metric.most else "is at least",
        Outcome.FAIL: "is over" if metric.most else "is below",
        Outcome.INVALID: "drifted too much to be held against",
        Outcome.INCONCLUSIVE: "can't be told from",
    }[outcome]
    text = (
        f"{label(metric.name)} {show(found.estimate, metric.unit)} ({between(low, high, metric.unit)}, "
        f"{found.runs} runs) {how} {exact(limit, metric.unit)}"
    )
    if drift:
        text += f"; it surely drifted by {math.expm1(drift) * 100:.1f} % during the trial, so the bounds were widened"
    return text


def _too_few(metric: Metric, series: Series, limit: float, needed: int) -> Check:
    value = float(np.exp(np.log(series.values).mean()))
    text = (
        f"{label(metric.name)} {show(value, metric.unit)} from {len(series.values)} runs; the first look needs {needed}"
    )
    check = _check(metric, limit, Outcome.INCONCLUSIVE, text)
    return check.model_copy(update={"value": value, "runs": len(series.values)})


def _check(
    metric: Metric,
    limit: float,
    outcome: Outcome,
    message: str,
    found: RunInterval | None = None,
    bounds: tuple[float | None, float | None] = (None, None),
) -> Check:
    return Check(
        metric=metric.name,
        outcome=outcome,
        message=message,
        unit=metric.unit,
        value=found.estimate if found else None,
        low=bounds[0],
        high=bounds[1],
        limit=limit,
        runs=found.runs if found else None,
        noise_sd=found.sd if found else None,
        method=METHOD,
    )


def _spoiled(judged: Judged, problems: tuple[str, ...]) -> Judged:
    message = f"{label(judged.check.metric)} can't be judged: {problems[0]}"
    return Judged(judged.check.model_copy(update={"outcome": Outcome.INVALID, "message": message}), judged.kind)
