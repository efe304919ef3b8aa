"""Metrics against the baseline's figures of separate runs, metrics that only warn, metrics that nothing measures."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from made_trials import MS, TrialMaker
from seatrial_ci.gate import Outcome, Verdict, judge, runs_wanted
from seatrial_ci.statistics.runs import log_ratio_interval
from seatrial_runner.records import Trial
from seatrial_targets.budgets import Budgets

MB = 1_000_000


def budgets(**limits: object) -> Budgets:
    return Budgets.model_validate({"regression": None, **limits})


def only(verdict: Verdict) -> tuple[str, Outcome]:
    (check,) = verdict.checks
    return check.metric, check.outcome


def memories(candidate: int, baseline: int, count: int = 3) -> Trial:
    maker = TrialMaker()
    for i in range(count):
        maker.memory(candidate + i)
        maker.memory(baseline + i, "baseline")
    return maker.trial()


def solos(candidate: float, baseline: float, count: int = 5, sd: float = 0.002) -> Trial:
    return TrialMaker().solos(count, candidate, sd).solos(count, baseline, sd, bundle="baseline").trial()


@pytest.mark.parametrize(
    ("candidate", "outcome"), [(50 * MB, "PASS"), (50 * MB + 300_000, "PASS"), (60 * MB, "FAIL"), (30 * MB, "PASS")]
)
def test_memory_is_held_against_the_baselines(candidate: int, outcome: str) -> None:
    wanted = budgets(regressions={"peak_memory": {"ignore": 0.01, "margin": 0.05}})
    assert only(judge(memories(candidate, 50 * MB), wanted)) == ("peak_memory_regression", Outcome(outcome))


def test_a_lower_throughput_is_the_worse_one() -> None:
    wanted = budgets(regressions={"throughput": {}})
    assert only(judge(solos(10 * MS, 10 * MS), wanted))[1] is Outcome.PASS
    assert only(judge(solos(12 * MS, 10 * MS), wanted))[1] is Outcome.FAIL
    assert only(judge(solos(8 * MS, 10 * MS), wanted))[1] is Outcome.PASS


@pytest.mark.parametrize(("least", "outcome"), [(90.0, "PASS"), (110.0, "FAIL")])
def test_throughput_has_a_least(least: float, outcome: str) -> None:
    verdict = judge(solos(10 * MS, 10 * MS), budgets(throughput_per_s=least))
    assert only(verdict) == ("throughput", Outcome(outcome))
    assert "per s" in verdict.checks[0].message


def test_too_few_runs_want_more_of_their_kind() -> None:
    wanted = budgets(regressions={"peak_memory": {}})
    trial = memories(50 * MB, 50 * MB, count=2)
    assert only(judge(trial, wanted))[1] is Outcome.INCONCLUSIVE
    assert runs_wanted(trial, wanted).memories == 1


def test_without_a_baseline_it_is_invalid() -> None:
    trial = TrialMaker().solos(5).trial(baseline=False)
    wanted = budgets(regressions={"cold_load": {}}, accuracy_drop={"top1": 0.01})
    assert {check.outcome for check in judge(trial, wanted).checks} == {Outcome.INVALID}


def test_sizes_are_exact() -> None:
    trial = TrialMaker().solos(3).trial()
    info = trial.bundles["candidate"]
    bigger = info.model_copy(update={"size_bytes": round(info.size_bytes * 1.06)})
    grown = trial.model_copy(update={"bundles": {**trial.bundles, "candidate": bigger}})
    wanted = budgets(regressions={"size": {}})
    assert only(judge(trial, wanted)) == ("size_regression", Outcome.PASS)
    assert only(judge(grown, wanted)) == ("size_regression", Outcome.FAIL)


@pytest.mark.parametrize(("candidate", "outcome"), [(0.70, "PASS"), (0.695, "PASS"), (0.68, "FAIL"), (None, "INVALID")])
def test_accuracy_may_drop_by_some_points(candidate: float | None, outcome: str) -> None:
    trial = TrialMaker().solos(3).trial()
    accuracy = {"candidate": {"top1": candidate} if candidate is not None else {}, "baseline": {"top1": 0.70}}
    bundles = {k: v.model_copy(update={"accuracy": accuracy[k]}) for k, v in trial.bundles.items()}
    judged = judge(trial.model_copy(update={"bundles": bundles}), budgets(accuracy_drop={"top1": 0.01}))
    assert only(judged) == ("accuracy top1 drop", Outcome(outcome))


def test_a_metric_that_only_warns_blocks_nothing_and_is_still_said() -> None:
    limits = budgets(peak_memory="1 MB", latency_p50="20 ms", warn=["peak_memory"])
    maker = TrialMaker().solos(5)
    for i in range(3):
        maker.memory(50 * MB + i)
    verdict = judge(maker.trial(baseline=False), limits)
    assert verdict.outcome is Outcome.PASS
    assert [c.severity for c in verdict.checks] == ["block", "warn"]
    assert any("warning only, FAIL" in note for note in verdict.notes)


def test_where_all_only_warn_the_verdict_passes_with_notes() -> None:
    verdict = judge(TrialMaker().solos(5).trial(baseline=False), budgets(latency_p50="1 ms", warn=["latency_p50"]))
    assert verdict.outcome is Outcome.PASS
    assert verdict.notes


def test_nobody_waits_for_a_metric_that_only_warns() -> None:
    trial = TrialMaker().solos(3, sd=0.2).trial(baseline=False)
    limits = {"latency_p50": "10 ms"}
    assert runs_wanted(trial, budgets(**limits)).solos > 0
    assert not runs_wanted(trial, budgets(**limits, warn=["latency_p50"]))


def test_the_interval_is_welchs() -> None:
    rng = np.random.default_rng(3)
    one, other = np.exp(rng.normal(0.1, 0.02, 7)), np.exp(rng.normal(0, 0.05, 5))
    found = log_ratio_interval(one, other, 0.025, 0.025)
    expected = stats.ttest_ind(np.log(one), np.log(other), equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


@given(st.floats(0.01, 100), st.integers(2, 9))
def test_equal_figures_have_an_exact_ratio(factor: float, count: int) -> None:
    found = log_ratio_interval([3.0 * factor] * count, [3.0] * count, 0.01, 0.01)
    assert found.low <= math.log(factor) + 1e-9
    assert found.high >= math.log(factor) - 1e-9


@pytest.mark.parametrize(("one", "other"), [([1.0], [1.0] * 2), ([1.0, 0.0], [1.0] * 2), ([math.nan] * 2, [1.0] * 2)])
def test_what_has_no_interval_is_refused(one: list[float], other: list[float]) -> None:
    with pytest.raises(ValueError, match=r"runs|positive"):
        log_ratio_interval(one, other, 0.01, 0.01)
