"""The benchmarks of the gate, on data whose answer is known; their figures are published from longer runs."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from seatrial_runner.records import AgentResult, ArmResult, BundleInfo, DeviceInfo, Run, Trial

FOLDER = Path(__file__).parents[2] / "benchmarks"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def aa_trial(solos, duets):
    """Solo runs of both bundles in turn, sd 10 %, and duets of the same model, sd 1 %."""
    rng = np.random.default_rng(1)
    runs = []

    def add(kind, arms, times):
        made = {
            arm: ArmResult(
                session_ns=1, first_ns=1, warmup_iterations=1, checks=(), wall_ns=(round(times[b] * 1e6),) * 16
            )
            for arm, b in arms.items()
        }
        result = AgentResult(agent="native", agent_version="1", status="ok", arms=made)
        base = {"status": "ok", "started_unix_ns": 0, "duration_ns": 1, "result": result}
        runs.append(Run.model_validate({**base, "index": len(runs), "kind": kind, "arms": arms}))

    for i in range(solos):
        bundle = ("candidate", "baseline")[i % 2]
        add("solo", {"a": bundle}, {bundle: float(np.exp(0.1 * rng.standard_normal()))})
    for _ in range(duets):
        both = {"a": "candidate", "b": "baseline"}
        add("duet", both, {"candidate": float(np.exp(0.01 * rng.standard_normal())), "baseline": 1.0})
    bundle = BundleInfo(digest="0" * 64, name="same", target="t", precision="fp32", size_bytes=1)
    return Trial(
        id="aa",
        seatrial_version="0",
        started_unix_ns=0,
        device=DeviceInfo(name="local", target="t", transport="local"),
        bundles={"candidate": bundle, "baseline": bundle},
        runs=tuple(runs),
    )


def test_aa_noise_finds_the_noise_that_was_put_in():
    aa_noise = load("aa_noise")
    trial = aa_trial(400, 200)
    assert aa_noise.plain_runs(trial).std(ddof=1) == pytest.approx(0.1, rel=0.15)
    assert aa_noise.neighbours(trial).std(ddof=1) == pytest.approx(0.1 * np.sqrt(2), rel=0.15)
    assert len(aa_noise.neighbours(trial)) == 200
    text = aa_noise.report(trial)
    assert "| duets | 200 |" in text
    assert "not an A/A trial" not in text


def test_aa_gates_use_no_run_twice_and_raise_no_alarm():
    aa_noise = load("aa_noise")
    figures = 0.01 * np.random.default_rng(2).standard_normal(400)
    outcomes, pairs = aa_noise.gates(figures, aa_noise.RULES["ignore 1 %, margin 5 %"])
    assert outcomes["fail"] == 0
    assert sum(outcomes.values()) == len(pairs) > 20
    assert sum(pairs) <= 400


def test_a_trial_of_two_models_is_told_apart():
    trial = aa_trial(8, 8)
    other = trial.bundles["baseline"].model_copy(update={"digest": "1" * 64})
    changed = trial.model_copy(update={"bundles": {**trial.bundles, "baseline": other}})
    assert "not an A/A trial" in load("aa_noise").report(changed)


def test_simulated_gates_end_as_their_effect_says():
    rates = load("gate_error_rates")
    rng = np.random.default_rng(3)
    quiet = rates.RUN_SDS[0]
    for way in ("duets", "separate pairs"):
        found = [rates.simulated(quiet, way, rates.DEFAULT, 0.0, rng) for _ in range(5)]
        assert [outcome for outcome, _ in found] == ["PASS"] * 5
        assert rates.simulated(quiet, way, rates.DEFAULT, 0.2, rng)[0] == "FAIL"
    assert rates.simulated(quiet, "duets", rates.DEFAULT, 0.2, rng) == ("FAIL", 18)  # 8 duets, 10 solo runs before them
    assert rates.simulated(rates.THROTTLED, "duets", rates.DEFAULT, 0.2, rng)[0] == "INVALID"


def test_a_simulated_device_has_the_noise_that_it_is_named_for():
    load("gate_error_rates")
    from gate_devices import RUN_SDS, Session

    rng = np.random.default_rng(4)
    device = RUN_SDS[2]
    p50 = np.log([np.median(Session(device, rng).solo(False)) for _ in range(600)])
    robust = 1.4826 * np.median(np.abs(p50 - np.median(p50)))  # a few runs are disturbed, as they are meant to be
    assert robust == pytest.approx(np.hypot(0.03, 0.02), rel=0.2)  # runs and sessions
    one, other = Session(device, rng, 0.10).duet(True)
    assert np.median(one) / np.median(other) == pytest.approx(1.10, abs=0.05)


def test_the_recorded_runs_are_those_of_the_facts():
    rates = load("gate_error_rates")
    data = rates.load()
    assert data["solo_runs_ns"].shape == (678, 60)
    outcomes, runs = rates.recorded("duets", rates.DEFAULT, 0.05, {k: v[:36] for k, v in data.items()})
    assert set(outcomes) == {"FAIL"}
    assert max(runs) <= 16


def test_the_other_rules_are_what_they_are_called():
    load("gate_error_rates")
    import gate_rivals as rivals

    rng = np.random.default_rng(5)
    steady = 100 + rng.standard_normal((30, 60))
    assert rivals.mean_10(steady[:1], steady[:1] * 1.11)
    assert not rivals.mean_10(steady[:1], steady[:1] * 1.09)
    for rule in (rivals.mann_whitney, rivals.welch):
        assert rule(steady[:10], steady[10:20] * 1.05)
        assert not rule(steady[:10], steady[10:20] * 0.95)
    assert rivals.bencher(steady, steady[:1] * 1.05)
    assert not rivals.bencher(steady, steady[:1])


def test_the_end_to_end_benchmark_goes_on_where_it_stopped(tmp_path):
    end = load("gate_end_to_end")
    first = list(end.missing(tmp_path, 10, 2))
    assert (first.count(0.0), first.count(0.03), len(first)) == (10, 2, 16)
    assert first[:4] == [0.0, 0.03, 0.05, 0.1]  # the kinds take turns
    line = {
        "effect": 0.0,
        "outcome": "PASS",
        "noise_sd": 0.01,
        "made": 8,
        "seconds": 1,
        "ratios": [0.001 * (i % 3) for i in range(8)],
    }
    line |= {"order": [1, -1] * 4, "value": 0.001}
    (tmp_path / "gates.jsonl").write_text(f"{json.dumps(line)}\n")
    assert list(end.missing(tmp_path, 10, 2)) == first[1:]
    said = "\n".join(end.report(tmp_path, tmp_path))
    assert "| +0% | 1 | 0 (0.0 %) | 1 (100.0 %)" in said
    assert (tmp_path / "gate_end_to_end.svg").read_text().startswith("<svg")


def test_shipped_agents_know_nothing_of_slowing():
    from seatrial_runner.agent import build

    for agent in build.BIN.iterdir():
        assert b"SEATRIAL_SLOWED" not in agent.read_bytes()
