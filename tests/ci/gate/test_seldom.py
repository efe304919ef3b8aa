"""Operators that fell back, and latency after minutes of heat: judged where a trial holds them, else never passed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from made_trials import MS, TrialMaker
from seatrial_ci.figures import steady_samples
from seatrial_ci.gate import Outcome, Verdict, judge
from seatrial_runner.records import LayerProfile, LayerTime
from seatrial_targets.budgets import Budgets

SECOND = 1_000_000_000


def budgets(**limits: object) -> Budgets:
    return Budgets.model_validate({"regression": None, **limits})


def judged(maker: TrialMaker, limits: Budgets, **trial: Any) -> Verdict:
    return judge(maker.trial(baseline=False, **trial), limits)


def profiled(maker: TrialMaker, units: list[str], promised: tuple[str, ...] = ("DLA",)) -> TrialMaker:
    layers = tuple(LayerTime(name=f"op{i}", op="Conv", provider=unit, ns=(5,)) for i, unit in enumerate(units))
    profile = LayerProfile(tool="profiler", promised=promised, layers=layers)
    arm = maker.arm([MS] * 4).model_copy(update={"layers": profile})
    maker.run("profile", {"a": "candidate"}, maker.result(arms={"a": arm}))
    return maker


@pytest.mark.parametrize(("units", "outcome"), [(["DLA"] * 3, "PASS"), (["DLA", "GPU", "GPU"], "FAIL")])
def test_operators_that_fell_back_are_counted(maker: TrialMaker, units: list[str], outcome: str) -> None:
    verdict = judged(profiled(maker, units), budgets(max_fallback_ops=1))
    (check,) = verdict.checks
    assert check.outcome is Outcome(outcome)
    assert check.value == units.count("GPU")
    assert "elsewhere than the target promises" in check.message


def test_the_worst_profile_counts(maker: TrialMaker) -> None:
    profiled(profiled(maker, ["DLA", "DLA"]), ["DLA", "CPU"])
    assert judged(maker, budgets(max_fallback_ops=0)).outcome is Outcome.FAIL


@pytest.mark.parametrize("case", ["no profile", "nothing promised", "no layers"])
def test_what_was_not_profiled_never_passes(maker: TrialMaker, case: str) -> None:
    maker.solos(3)
    if case != "no profile":
        profiled(maker, ["CPU"] if case == "nothing promised" else [], () if case == "nothing promised" else ("DLA",))
    verdict = judged(maker, budgets(max_fallback_ops=100))
    assert verdict.outcome is Outcome.INVALID
    assert "fallback ops was not measured" in verdict.reasons[0]


def test_why_it_was_not_profiled_is_said(maker: TrialMaker) -> None:
    verdict = judged(maker, budgets(max_fallback_ops=0), unmeasured={"profile": "this runtime has no profiler"})
    assert "no profiler" in verdict.reasons[0]


def heated(maker: TrialMaker, seconds: float = 600.0, hot_ns: float = 12 * MS, noise: float = 0.01) -> TrialMaker:
    """10 ms at first, ``hot_ns`` from the middle on; one sample a second is kept."""
    count = int(seconds)
    centers = np.where(np.arange(count) < count / 2, 10 * MS, hot_ns)
    wall = [int(x) for x in centers * np.exp(noise * maker.rng.standard_normal(count))]
    arm = maker.arm(wall).model_copy(update={"at_ns": tuple(5 + i * SECOND for i in range(count)), "stride": 80})
    maker.run("sustained", {"a": "candidate"}, maker.result(arms={"a": arm}))
    return maker


@pytest.mark.parametrize(("limit", "outcome"), [("13 ms", "PASS"), ("11 ms", "FAIL"), ("12 ms", "INCONCLUSIVE")])
def test_the_hot_end_of_one_run_is_judged(maker: TrialMaker, limit: str, outcome: str) -> None:
    verdict = judged(heated(maker), budgets(sustained_latency=limit))
    (check,) = verdict.checks
    assert check.outcome is Outcome(outcome)
    assert check.value == pytest.approx(12 * MS, rel=0.01)
    assert check.low < check.value < check.high
    assert "one run" in check.message


def test_several_runs_are_judged_over_runs(maker: TrialMaker) -> None:
    for hot in (12 * MS, 12.1 * MS, 11.9 * MS):
        heated(maker, hot_ns=hot)
    (check,) = judged(maker, budgets(sustained_latency="13 ms")).checks
    assert (check.outcome, check.runs) == (Outcome.PASS, 3)
    assert check.method == "t-interval over runs, log scale"


def test_a_short_run_knows_nothing_of_heat(maker: TrialMaker) -> None:
    verdict = judged(heated(maker, seconds=60), budgets(sustained_latency="1 s"))
    assert verdict.outcome is Outcome.INVALID
    assert "lasted 59 s" in verdict.reasons[0]


def test_throttling_does_not_spoil_what_it_is_measured_for(maker: TrialMaker) -> None:
    state = maker.trial().before.model_copy(update={"throttled": True})
    assert judged(heated(maker), budgets(sustained_latency="13 ms"), after=state).outcome is Outcome.PASS
    rebooted = state.model_copy(update={"boot_id": "two"})
    assert judged(maker, budgets(sustained_latency="13 ms"), after=rebooted).outcome is Outcome.INVALID


def test_without_a_clock_of_its_own_the_inferences_are_taken_to_follow_each_other(maker: TrialMaker) -> None:
    arm = maker.arm([SECOND] * 600)
    assert len(steady_samples(arm)) == 121
    assert len(steady_samples(arm.model_copy(update={"wall_ns": (SECOND,) * 60, "stride": 10}))) == 13


def test_a_clock_that_goes_backwards_is_no_measure_of_time(maker: TrialMaker) -> None:
    arm = maker.arm([MS] * 600).model_copy(update={"at_ns": (*range(599, 0, -1), 900 * SECOND)})
    maker.run("sustained", {"a": "candidate"}, maker.result(arms={"a": arm}))
    verdict = judged(maker, budgets(sustained_latency="1 s"))
    assert verdict.outcome is Outcome.INVALID
    assert "clock went backwards" in verdict.reasons[0]
