"""The benchmarks of the gate, on data whose answer is known; their figures are published from longer runs."""

import importlib.util
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
    from seatrial_targets.budgets import Budgets

    rng = np.random.default_rng(3)
    found = [rates.gate(rng, 0.0, rates.normal(0.008), Budgets()) for _ in range(20)]
    assert [outcome for outcome, _ in found] == ["PASS"] * 20
    assert max(pairs for _, pairs in found) <= 16
    assert rates.gate(rng, 0.2, rates.normal(0.008), Budgets()) == ("FAIL", 8)
    assert rates.gate(rng, 0.03, rates.normal(0.4), Budgets()) == ("INCONCLUSIVE", 64)
