import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seatrial_ci.gate import GateSettings, Outcome, judge, runs_wanted
from seatrial_runner.records import DeviceInfo, DeviceState, EnergySample, SensorTrace, Trial
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import UserError

MS = 1_000_000
ONLY_BASELINE = Budgets()


def budgets(**kwargs):
    return Budgets.model_validate({"regression": None, **kwargs})


def outcome_of(verdict, metric):
    return next(c.outcome for c in verdict.checks if c.metric == metric)


def test_the_same_bundle_passes_at_the_first_looks(maker):
    verdict = judge(maker.duets(16).trial(), ONLY_BASELINE)
    check = verdict.checks[0]
    assert verdict.outcome is Outcome.PASS
    assert verdict.exit_code == 0
    assert check.low < check.value < check.high < check.margin
    assert check.method == "duet"
    assert check.pairs in (8, 16)
    assert check.noise_sd == pytest.approx(0.008, rel=0.5)
    assert 0.01 < check.mde < 0.06


def test_a_slower_candidate_fails_and_says_by_how_much(maker):
    verdict = judge(maker.duets(32, effect=0.10).trial(), ONLY_BASELINE)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.exit_code == 1
    assert verdict.checks[0].value == pytest.approx(0.10, abs=0.02)
    assert "slower than the baseline" in verdict.reasons[0]


def test_a_faster_candidate_passes(maker):
    verdict = judge(maker.duets(8, effect=-0.5).trial(), ONLY_BASELINE)
    assert verdict.outcome is Outcome.PASS
    assert verdict.checks[0].value == pytest.approx(-0.5, abs=0.01)


def test_noise_is_inconclusive_and_not_a_verdict(maker):
    trial = maker.duets(64, effect=0.03, sd=0.3).trial()
    verdict = judge(trial, ONLY_BASELINE)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.exit_code == 4
    assert not runs_wanted(trial, ONLY_BASELINE)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 24), st.floats(-0.02, 0.1), st.integers(0, 1000))
def test_live_and_recorded_give_the_same_verdict(makers, count, effect, seed):
    """Feed runs as wanted, until none is; then judge the whole record, from JSON."""
    maker, trial = makers(seed), None
    plan = makers(seed).duets(64, effect).runs
    wanted = runs_wanted(maker.trial(), ONLY_BASELINE)
    while wanted and len(maker.runs) < 64:
        maker.runs += plan[len(maker.runs) : len(maker.runs) + wanted.duets]
        trial = maker.trial()
        wanted = runs_wanted(trial, ONLY_BASELINE)
    live = judge(trial, ONLY_BASELINE)
    maker.runs += plan[len(maker.runs) : len(maker.runs) + count]  # runs after the decision change nothing
    again = Trial.model_validate_json(maker.trial().model_dump_json(by_alias=True))
    assert judge(again, ONLY_BASELINE) == live


def test_the_looks_ask_for_what_they_lack(maker):
    assert runs_wanted(maker.trial(), ONLY_BASELINE).duets == 8
    maker.duets(5)
    assert runs_wanted(maker.trial(), ONLY_BASELINE).duets == 3
    maker.duets(3)
    assert not runs_wanted(maker.trial(), ONLY_BASELINE)


def test_a_baseline_of_solo_runs_is_compared_by_abba_pairs(maker):
    for pair in range(8):
        for bundle in ("candidate", "baseline")[:: 1 if pair % 2 else -1]:
            maker.solo(10 * MS, bundle, pair=pair)
    verdict = judge(maker.trial(), ONLY_BASELINE)
    assert verdict.outcome is Outcome.PASS
    assert verdict.checks[0].method == "separate ABBA"


def test_separate_pairs_are_asked_for_as_pairs(maker):
    wanted = runs_wanted(maker.trial(), ONLY_BASELINE, GateSettings(comparison="separate"))
    assert (wanted.pairs, wanted.duets) == (8, 0)
    maker.solo(bundle="baseline", pair=0), maker.solo(pair=0)
    wanted = runs_wanted(maker.trial(), ONLY_BASELINE)  # what was measured tells how
    assert (wanted.pairs, wanted.duets) == (7, 0)


def test_a_pair_that_lost_a_run_is_left_out(maker):
    for pair in range(9):
        maker.solo(bundle="baseline", pair=pair), maker.solo(pair=pair)
    maker.runs[5] = maker.runs[5].model_copy(update={"invalid": "throttled"})
    assert judge(maker.trial(), ONLY_BASELINE).checks[0].pairs == 8


def test_latency_within_over_and_near_its_budget(maker):
    trial = maker.solos(6).trial(baseline=False)
    assert judge(trial, budgets(latency_p50="18 ms")).outcome is Outcome.PASS
    assert judge(trial, budgets(latency_p50="9 ms")).outcome is Outcome.FAIL
    near = judge(trial, budgets(latency_p50="10 ms"))
    assert near.outcome is Outcome.INCONCLUSIVE
    assert near.checks[0].low < 10 * MS < near.checks[0].high
    assert runs_wanted(trial, budgets(latency_p50="10 ms")).solos == 4  # from 6 to the look at 10


def test_runs_that_were_made_anyway_are_used(maker):
    """Three runs could decide; five were made, so that five do: with narrower bounds, and the figure of the table."""
    for factor in (1.00, 1.01, 0.99, 1.00, 1.00):
        maker.solo(10 * MS * factor)
    (check,) = judge(maker.trial(baseline=False), budgets(latency_p50="50 ms")).checks
    assert check.runs == 5
    assert check.high < 10.5 * MS
    assert check.confidence == 1 - 0.01 / 4


def test_two_runs_decide_nothing(maker):
    trial = maker.solos(2).trial(baseline=False)
    assert judge(trial, budgets(latency_p50="1 s")).outcome is Outcome.INCONCLUSIVE
    assert runs_wanted(trial, budgets(latency_p50="1 s")).solos == 1


@pytest.mark.parametrize(
    ("budget", "outcome"),
    [
        ({"size": "5 MB"}, Outcome.PASS),
        ({"size": "4.9 MB"}, Outcome.FAIL),
        ({"parity_sqnr": "20 dB"}, Outcome.PASS),
        ({"parity_sqnr": "30 dB"}, Outcome.FAIL),
        ({"top1_agreement": "95 %"}, Outcome.PASS),
        ({"top1_agreement": "99 %"}, Outcome.FAIL),
        ({"accuracy": {"top1": 0.7}}, Outcome.PASS),
        ({"accuracy": {"top1": 0.8}}, Outcome.FAIL),
        ({"accuracy": {"mAP": 0.1}}, Outcome.INVALID),
    ],
)
def test_figures_of_the_bundle_need_no_run(maker, budget, outcome):
    assert judge(maker.trial(baseline=False), budgets(**budget)).outcome is outcome


@pytest.mark.parametrize(
    "budget",
    [{"latency_p50": "1 s"}, {"cold_load": "1 s"}, {"peak_memory": "1 GB"}, {"energy_per_inference": "1 J"}],
)
def test_what_was_not_measured_is_never_passed(maker, budget):
    verdict = judge(maker.trial(baseline=False), budgets(**budget))
    assert verdict.outcome is Outcome.INVALID
    assert verdict.exit_code == 3
    assert "was not measured" in verdict.reasons[0]


def test_why_it_was_not_measured_is_said(maker):
    trial = maker.trial(baseline=False, unmeasured={"energy": "RAPL may be read by root only"})
    verdict = judge(trial, budgets(energy_per_inference="1 J"))
    assert "root only" in verdict.reasons[0]
    assert not runs_wanted(trial, budgets(energy_per_inference="1 J"))


def test_a_percentile_beyond_the_samples_is_not_judged(maker):
    trial = maker.solos(3, n=40).trial(baseline=False)
    verdict = judge(trial, budgets(latency_p90="1 s"))
    assert verdict.outcome is Outcome.INVALID
    assert "64" in verdict.reasons[0]
    assert not runs_wanted(trial, budgets(latency_p90="1 s"))


def test_p99_needs_a_thousand_samples_in_ten_runs(maker):
    trial = maker.solos(6, n=1000).trial(baseline=False)
    wanted = runs_wanted(trial, budgets(latency_p99="1 s"))
    assert wanted.solos == 4
    assert judge(trial, budgets(latency_p99="1 s")).outcome is Outcome.INCONCLUSIVE
    full = maker.solos(6, n=1000).trial(baseline=False)
    assert judge(full, budgets(latency_p99="1 s")).outcome is Outcome.PASS


def test_memory_and_cold_load(maker):
    maker.solos(3)
    for _ in range(3):
        maker.memory(100_000_000)
    trial = maker.trial(baseline=False)
    assert judge(trial, budgets(peak_memory="100 MB", cold_load="25 ms")).outcome is Outcome.PASS
    assert judge(trial, budgets(peak_memory="99 MB")).outcome is Outcome.FAIL
    assert judge(trial, budgets(cold_load="24 ms")).outcome is Outcome.FAIL


def test_a_regression_budget_without_a_baseline_fails_closed(maker):
    made = Budgets.model_validate({"regression": {"margin": "5 %"}, "size": "1 GB"})
    assert judge(maker.trial(baseline=False), made).outcome is Outcome.INVALID


def test_nothing_to_judge_is_a_wrong_command(maker):
    with pytest.raises(UserError, match="nothing to judge"):
        judge(maker.trial(baseline=False), Budgets())


STATE = DeviceState(unix_ns=1, governors={"cpu0": "performance"}, throttled=False, boot_id="one")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"throttled": True}, "throttled"),
        ({"battery_percent": 10.0, "charging": False}, "battery"),
        ({"boot_id": "two"}, "rebooted"),
        ({"governors": {"cpu0": "powersave"}}, "governor"),
    ],
)
def test_a_device_in_a_wrong_state_is_invalid_and_not_a_failure(maker, change, said):
    trial = maker.duets(8, effect=0.5).trial(after=STATE.model_copy(update=change))
    verdict = judge(trial, Budgets.model_validate({"size": "1 GB"}))
    assert verdict.outcome is Outcome.INVALID
    assert said in verdict.reasons[0]
    assert outcome_of(verdict, "size") is Outcome.PASS
    assert not runs_wanted(trial, ONLY_BASELINE)


def test_a_valid_failure_stands_beside_an_invalid_measurement(maker):
    trial = maker.duets(8).trial(after=STATE.model_copy(update={"throttled": True}))
    verdict = judge(trial, Budgets.model_validate({"size": "1 MB"}))
    assert verdict.outcome is Outcome.FAIL
    assert outcome_of(verdict, "latency_regression") is Outcome.INVALID


def test_a_trial_that_ended_early_never_passes(maker):
    trial = maker.duets(8).trial(status="device_error", reason="the link was lost")
    verdict = judge(trial, ONLY_BASELINE)
    assert verdict.outcome is Outcome.INVALID
    assert "link was lost" in verdict.reasons[0]


def test_runs_that_failed_are_left_out_and_too_many_spoil_the_trial(maker):
    maker.duets(8)
    lost = [maker.run("duet", {"a": "candidate", "b": "baseline"}, None, status="timeout") for _ in range(7)]
    assert judge(maker.trial(), ONLY_BASELINE).outcome is Outcome.PASS
    assert len(lost) == 7
    for _ in range(5):
        maker.run("duet", {"a": "candidate", "b": "baseline"}, None, status="timeout")
    assert judge(maker.trial(), ONLY_BASELINE).outcome is Outcome.INVALID


def test_wrong_outputs_on_the_device_are_never_passed(maker):
    maker.duets(8)
    error = {"stage": "check", "kind": "user_error", "message": "logits: relative error .9"}
    result = maker.result(status="error", error=error)
    maker.run("solo", {"a": "candidate"}, result, status="user_error")
    verdict = judge(maker.trial(), ONLY_BASELINE)
    assert verdict.outcome is Outcome.INVALID
    assert "logits" in verdict.reasons[0]


def test_unlike_runs_are_not_compared(maker):
    maker.duets(8)
    other = maker.runs[-1].result.model_copy(update={"runtime_version": "1.23"})
    maker.runs[-1] = maker.runs[-1].model_copy(update={"result": other})
    assert "unlike" in judge(maker.trial(), ONLY_BASELINE).reasons[0]


def test_runs_under_other_settings_than_asked_for_are_not_compared(maker):
    maker.duets(8)
    for index, graph in enumerate(["Enabled"] * 7 + ["Disabled"]):
        told = maker.runs[index].result.model_copy(update={"effective": {"CUDA Graph": graph}})
        maker.runs[index] = maker.runs[index].model_copy(update={"result": told})
    verdict = judge(maker.trial(), ONLY_BASELINE)
    assert verdict.outcome is Outcome.INVALID
    assert "CUDA Graph was Disabled and Enabled" in verdict.reasons[0]


@pytest.mark.parametrize(("clocks", "spoiled"), [([300, 900, 900, 600], True), ([300, 900, 850], False), ([], False)])
def test_a_gpu_whose_clock_falls_under_load_spoils_the_trial(maker, clocks, spoiled):
    maker.duets(8)
    samples = tuple(EnergySample(t_ns=i, values=(mhz * 1000,)) for i, mhz in enumerate(clocks))
    trace = SensorTrace(sensors=("frequency:gpu",), samples=samples)
    result = maker.runs[3].result.model_copy(update={"sensors": trace})
    maker.runs[3] = maker.runs[3].model_copy(update={"result": result})
    verdict = judge(maker.trial(), ONLY_BASELINE)
    assert (verdict.outcome is Outcome.INVALID) == spoiled
    assert not spoiled or "fell from 900 to 600 MHz during run 3" in verdict.reasons[0]


def test_pairs_that_are_all_equal_are_not_trusted(maker):
    for _ in range(8):
        result = maker.result(arms={"a": maker.arm([1000] * 8), "b": maker.arm([1000] * 8)})
        maker.run("duet", {"a": "candidate", "b": "baseline"}, result)
    verdict = judge(maker.trial(), ONLY_BASELINE)
    assert verdict.outcome is Outcome.INVALID
    assert "clock" in verdict.reasons[0]


def test_a_time_of_zero_is_invalid(maker):
    maker.duets(7)
    result = maker.result(arms={"a": maker.arm([0] * 8), "b": maker.arm([1000] * 8)})
    maker.run("duet", {"a": "candidate", "b": "baseline"}, result)
    assert judge(maker.trial(), ONLY_BASELINE).outcome is Outcome.INVALID


def test_one_pair_is_inconclusive(maker):
    maker.duets(1)
    assert judge(maker.trial(), ONLY_BASELINE).outcome is Outcome.INCONCLUSIVE


def test_a_ratio_that_drifts_is_invalid(maker):
    for i in range(8):
        maker.duet(0.02 * i + 0.0001 * (i % 2))
    verdict = judge(maker.trial(), ONLY_BASELINE)
    assert verdict.outcome is Outcome.INVALID
    assert "drifted" in verdict.reasons[0]


def test_a_drifting_latency_is_judged_by_wider_bounds(maker):
    for i in range(6):
        maker.solo(10 * MS * (1 + 0.03 * i), noise=0.0005)
    trial = maker.trial(baseline=False)
    assert judge(trial, budgets(latency_p50="30 ms")).outcome is Outcome.PASS
    near = judge(trial, budgets(latency_p50="12.8 ms"))
    assert near.outcome in (Outcome.INVALID, Outcome.INCONCLUSIVE)
    assert "drifted" in near.reasons[0]


def test_a_duet_that_solo_runs_contradict_is_invalid(maker):
    for _ in range(4):
        maker.solo(13 * MS), maker.solo(10 * MS, "baseline")
    verdict = judge(maker.duets(8).trial(), ONLY_BASELINE)
    assert verdict.outcome is Outcome.INVALID
    assert "solo runs" in verdict.reasons[0]


def test_a_stand_in_is_stamped_and_no_baseline(maker):
    device = DeviceInfo(name="pi", target="raspberry-pi-5", transport="ssh", stamp="QEMU emulation")
    verdict = judge(maker.duets(8).trial(device=device), ONLY_BASELINE)
    assert verdict.outcome is Outcome.PASS
    assert verdict.stamp == "QEMU emulation"
    assert not verdict.fit_as_baseline
    assert any("QEMU" in note for note in verdict.notes)


def test_loading_one_bundle_first_every_time_is_noted(maker):
    maker.duets(8)
    maker.runs = [
        run.model_copy(update={"first": next(a for a, b in run.arms.items() if b == "candidate")}) for run in maker.runs
    ]
    assert any("came first in 8 of 8" in note for note in judge(maker.trial(), ONLY_BASELINE).notes)


def test_once_a_check_has_failed_nothing_more_is_measured(maker):
    """The verdict can't change: the latency that is near its budget is left as it is."""
    trial = maker.solos(6).trial(baseline=False)
    assert runs_wanted(trial, budgets(latency_p50="10 ms")).solos == 4
    both = budgets(latency_p50="10 ms", size="1 MB")
    assert not runs_wanted(trial, both)
    assert judge(trial, both).outcome is Outcome.FAIL
    assert runs_wanted(trial, budgets(latency_p50="10 ms", size="1 MB", warn=["size"])).solos == 4


def test_a_screening_that_flags_is_no_failure_yet(maker):
    trial = maker.duets(8, effect=0.5).solos(6).trial()
    limits = Budgets.model_validate({"latency_p50": "10 ms"})
    assert not runs_wanted(trial, limits)
    assert runs_wanted(trial, limits, GateSettings(screening=True)).solos == 4


def test_a_pass_is_at_beta_and_a_failure_at_alpha(maker):
    trial = maker.solos(5).trial(baseline=False)
    strict, loose = GateSettings(alpha=1e-6), GateSettings(beta=0.2)
    low, high = (judge(trial, budgets(latency_p50="1 s"), s).checks[0].low for s in (GateSettings(), strict))
    assert high < low  # a smaller alpha lowers the lower bound
    default, eased = (judge(trial, budgets(latency_p50="1 s"), s).checks[0].high for s in (GateSettings(), loose))
    assert eased < default
    assert judge(trial, budgets(latency_p50="1 s"), strict).checks[0].high == default
