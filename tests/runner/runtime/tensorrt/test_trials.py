"""Whole trials with the stand-in for trtexec, in the versions that it speaks, and what the gate makes of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from peers import trt
from seatrial_ci.gate import Outcome, judge
from seatrial_runner.plan import Plan
from seatrial_runner.records import AgentResult, Trial
from seatrial_runner.trial import RunFailedError, TrialRunner, open_trial
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import BundleError, DeviceError, UserError
from seatrial_targets.inventory import Device

from .conftest import profile_here

QUICK = Plan(
    solo_runs=1, memory_runs=1, solo_iterations=20, memory_iterations=3, warmup_iterations=2, warmup_min_ns=1_000_000
)


def solo(trial: Trial) -> AgentResult:
    result = trial.of("solo")[0].result
    assert result is not None
    return result


@pytest.mark.parametrize(
    "version", [*(pytest.param(each, marks=pytest.mark.slow) for each in ("8.6.1", "10.3.0")), "11.1.0"]
)
def test_a_whole_trial(jetson: Device, trtexec: Path, make_bundle, version: str) -> None:
    trt.configure(trtexec, version=version)
    with open_trial(jetson, {"candidate": make_bundle()}, QUICK) as runner:
        runner.measure()
    trial = runner.trial
    assert trial.status == "ok"
    assert trial.device.stamp == "stand-in trtexec"
    assert trial.settings["tensorrt"].startswith(version)
    result, arm = solo(trial), solo(trial).arms["a"]
    assert result.agent == "trtexec"
    assert result.effective["Data transfers"] == "Disabled"
    assert result.effective["CUDA Graph"] == result.effective["Spin-wait"] == "Enabled"
    assert len(arm.wall_ns) >= 20
    assert arm.wall_ns == arm.gpu_ns
    assert arm.h2d_ns == arm.d2h_ns == ()
    assert arm.checks[0].ok
    assert arm.checks[0].rel_l2 < 1e-5
    assert arm.session_ns > 0
    assert arm.first_ns > 0


def test_the_memory_is_the_machines_and_named_so(jetson: Device, make_bundle) -> None:
    with open_trial(jetson, {"candidate": make_bundle()}, QUICK) as runner:
        runner.memory(1)
    (run,) = runner.trial.of("memory")
    assert run.result is not None
    memory = run.result.memory
    assert memory is not None
    assert memory.peak_load is None
    assert memory.system_peak_delta is not None
    assert memory.engine_bytes == runner.trial.builds["candidate"].size_bytes
    assert memory.scratch_bytes == 1_572_864
    assert run.result.arms["a"].wall_ns == ()
    (note,) = [note for note in runner.trial.notes if "peak memory" in note]
    assert note.startswith("candidate: peak memory is how far the use of the whole machine rose")
    assert note.endswith("serialized, 1.57 MB scratch")


@pytest.mark.slow
def test_transfers_are_measured_where_the_target_wants_them(jetson: Device, make_bundle, trtexec: Path) -> None:
    for version in ("10.3.0", "11.1.0"):
        trt.configure(trtexec, version=version)
        profile = profile_here(config={"transfers": "1", "cuda_graph": "0"})
        with open_trial(jetson, {"candidate": make_bundle(profile=profile)}, QUICK) as runner:
            runner.solo(1)
        arm = solo(runner.trial).arms["a"]
        assert solo(runner.trial).effective["Data transfers"] == "Enabled"
        assert solo(runner.trial).effective["CUDA Graph"] == "Disabled"
        parts = zip(arm.h2d_ns, arm.gpu_ns, arm.d2h_ns, strict=True)
        assert arm.wall_ns == pytest.approx([sum(each) for each in parts], rel=1e-4)


@pytest.mark.slow
def test_shapes_that_vary_are_measured_at_the_golden_one(jetson: Device, make_bundle) -> None:
    with open_trial(jetson, {"candidate": make_bundle(batch="N")}, QUICK) as runner:
        runner.solo(1)
    assert solo(runner.trial).arms["a"].checks[0].ok


def test_wrong_outputs_are_never_timed(jetson: Device, make_bundle) -> None:
    bundle = make_bundle(golden=np.ones((1, 4, 8, 8), np.float32))
    with (
        pytest.raises(RunFailedError, match="output 'y' differs"),
        open_trial(jetson, {"candidate": bundle}, QUICK) as r,
    ):
        r.solo(1)
    (run,) = r.trial.runs
    assert run.result is not None
    assert run.result.error is not None
    assert run.result.error.stage == "check"
    assert run.result.arms["a"].wall_ns == ()


def pairs(device: Device, make_bundle, count: int, slower: str = "conv") -> TrialRunner:
    bundles = {"candidate": make_bundle(slower), "baseline": make_bundle("old", scale=0.5)}
    with open_trial(device, bundles, QUICK) as runner:
        runner.pairs(count)
    return runner


@pytest.mark.slow
def test_comparisons_are_separate_pairs_in_abba_order(jetson: Device, make_bundle) -> None:
    runner = pairs(jetson, make_bundle, 2)
    assert "one engine at a time" in runner.session.lacks("duet")
    order = [(run.pair, run.arms["a"]) for run in runner.trial.of("solo")]
    assert order == [(0, "candidate"), (0, "baseline"), (1, "baseline"), (1, "candidate")]


def test_a_result_of_the_stand_in_is_no_baseline(jetson: Device, make_bundle) -> None:
    with open_trial(jetson, {"candidate": make_bundle()}, QUICK) as runner:
        runner.solo(1)
    verdict = judge(runner.trial, Budgets.model_validate({"size": "1 MB"}))
    assert (verdict.outcome, verdict.stamp) == (Outcome.PASS, "stand-in trtexec")
    assert not verdict.fit_as_baseline


@pytest.mark.slow
def test_a_graph_that_one_run_could_not_capture_makes_runs_unlike(jetson: Device, make_bundle, trtexec: Path) -> None:
    with open_trial(jetson, {"candidate": make_bundle()}, QUICK) as runner:
        runner.solo(1)
        trt.configure(trtexec, faults={"run": "graph"})
        runner.solo(2)
    reasons = " ".join(judge(runner.trial, Budgets.model_validate({"latency_p50": "1 s"})).reasons)
    assert "CUDA Graph was Disabled (could not be captured) and Enabled" in reasons


def test_a_real_trtexec_in_the_middle_of_a_session_is_an_error(jetson: Device, make_bundle, trtexec: Path) -> None:
    """The other way round as well: what answered when the session began is what must answer."""
    with (
        pytest.raises(DeviceError, match="another trtexec"),
        open_trial(jetson, {"candidate": make_bundle()}, QUICK) as r,
    ):
        source = trtexec.read_text().replace("SEATRIAL STAND-IN", "an impostor")
        trtexec.write_text(source)
        r.solo(1)


def test_a_device_without_trtexec_says_what_to_install(jetson: Device, make_bundle) -> None:
    gone = jetson.model_copy(update={"trtexec": None})
    with pytest.raises(DeviceError, match="nvidia-jetpack"), open_trial(gone, {"candidate": make_bundle()}, QUICK):
        pass
    wrong = jetson.model_copy(update={"trtexec": "/opt/none/trtexec"})
    with (
        pytest.raises(DeviceError, match="no program /opt/none/trtexec"),
        open_trial(wrong, {"candidate": make_bundle()}, QUICK),
    ):
        pass


def test_a_target_for_another_tensorrt(jetson: Device, make_bundle, trtexec: Path) -> None:
    trt.configure(trtexec, version="11.1.0")
    bundle = make_bundle(profile=profile_here(versions=">=8.5,<11"))
    with (
        pytest.raises(UserError, match=r"has TensorRT 11.1.0.30, and target .* is for >=8.5,<11"),
        open_trial(jetson, {"candidate": bundle}, QUICK),
    ):
        pass


def test_an_option_that_tensorrt_does_not_have(jetson: Device, make_bundle) -> None:
    bundle = make_bundle(profile=profile_here(config={"session.x": "1"}))
    with (
        pytest.raises(UserError, match="TensorRT has transfers and cuda_graph"),
        open_trial(jetson, {"candidate": bundle}, QUICK),
    ):
        pass


def test_a_bundle_of_another_runtime_is_refused(jetson: Device, make_bundle) -> None:
    from seatrial_runner.runtime.tensorrt.runtime import TensorRt

    bundle = make_bundle()
    other = type(bundle)(bundle.path, bundle.manifest.model_copy(update={"runtime": "coreml"}), bundle.digest)
    with open_trial(jetson, {"candidate": bundle}, QUICK) as runner:
        session = runner.session
        from seatrial_runner.pusher import Pusher
        from seatrial_runner.runtime.base import Ground

        pusher = Pusher(session.transport, session.lease, lambda event: None)
        ground = Ground(jetson, session.transport, session.state, session.lease, pusher, {"candidate": other}, {})
        with pytest.raises(BundleError, match="for the runtime 'coreml'"):
            TensorRt().equip(ground)
