"""The Python runner on the device: real process, real agent; stand-ins for the package tensorrt and for libcudart."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from peers import trt
from seatrial_runner.plan import Plan
from seatrial_runner.records import AgentResult, RunKind
from seatrial_runner.trial import RunFailedError, TrialRunner, open_trial
from seatrial_targets.errors import DeviceError
from seatrial_targets.inventory import Device

from .conftest import profile_here

PLAN = Plan(
    solo_runs=1, memory_runs=1, solo_iterations=20, duet_iterations=8, memory_iterations=3, warmup_iterations=2
).but(warmup_min_ns=1_000_000, warmup_max_ns=200_000_000, duet_warmup_max_ns=200_000_000)


@pytest.fixture
def board(jetson: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    """This machine as a device whose python3 has the stand-ins."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    for name, value in trt.python_stand_ins(tmp_path / "cuda").items():
        monkeypatch.setenv(name, value)
    return jetson.model_copy(update={"runner": "python"})


def one(runner: TrialRunner, kind: RunKind) -> AgentResult:
    arms = {"a": "candidate", "b": "baseline"} if kind == "duet" else {"a": "candidate"}
    return runner.session.execute(runner.session.request(kind, arms, runner.plan))


@pytest.mark.slow
def test_a_whole_trial_with_duets(board: Device, make_bundle) -> None:
    bundles = {"candidate": make_bundle(), "baseline": make_bundle("old", scale=0.5)}
    with open_trial(board, bundles, PLAN) as runner:
        runner.measure()
        runner.pairs(2)
    trial = runner.trial
    assert trial.status == "ok"
    assert trial.device.stamp == "stand-in tensorrt; stand-in trtexec"
    assert (trial.settings["agent"], trial.settings["cuda by"]) == ("python", "libcudart 12.6")
    assert len(trial.of("duet")) == 2
    result = trial.of("solo", "candidate")[0].result
    assert result is not None
    assert result.effective == {
        "CUDA by": "libcudart 12.6",
        "Spin-wait": "Enabled",
        "CUDA Graph": "Enabled",
        "Data transfers": "Disabled",
    }
    arm = result.arms["a"]
    assert len(arm.wall_ns) == len(arm.cpu_ns) == len(arm.gpu_ns) == 20
    assert all(0 < gpu <= wall for gpu, wall in zip(arm.gpu_ns, arm.wall_ns, strict=True))
    assert arm.checks[0].ok
    assert arm.session_ns > 0
    assert arm.first_ns > 0
    assert result.start_ns is not None
    assert result.dlopen_ns is not None
    memory = trial.of("memory", "candidate")[0].result.memory
    assert memory.system_peak_delta is not None
    assert memory.engine_bytes == trial.builds["candidate"].size_bytes
    assert memory.scratch_bytes == 4096


@pytest.mark.slow
def test_layers_are_told_by_trtexec_where_there_is_one(board: Device, make_bundle) -> None:
    with open_trial(board, {"candidate": make_bundle()}, PLAN) as runner:
        assert runner.session.lacks("profile") == ""
        layers = one(runner, "profile").arms["a"].layers
    assert layers is not None
    assert layers.tool == "trtexec"
    without = board.model_copy(update={"trtexec": None})
    with open_trial(without, {"candidate": make_bundle()}, PLAN) as runner:
        assert "no trtexec" in runner.session.lacks("profile")


@pytest.mark.slow
def test_transfers_and_kernel_by_kernel_where_the_target_wants_it(board: Device, make_bundle) -> None:
    profile = profile_here(config={"transfers": "1", "cuda_graph": "0"}, spin=False)
    with open_trial(board, {"candidate": make_bundle(profile=profile)}, PLAN) as runner:
        result = one(runner, "solo")
    assert result.effective["Data transfers"] == "Enabled"
    assert result.effective["CUDA Graph"] == "Disabled"
    assert result.effective["Spin-wait"] == "Disabled"
    assert result.arms["a"].checks[0].ok


@pytest.mark.slow
def test_what_can_not_be_captured_is_launched_kernel_by_kernel_and_told(
    board: Device, make_bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEATRIAL_STAND_IN_NO_GRAPH", "1")
    with open_trial(board, {"candidate": make_bundle()}, PLAN) as runner:
        result = one(runner, "solo")
    assert result.effective["CUDA Graph"] == "Disabled (could not be captured)"
    assert len(result.arms["a"].wall_ns) == 20


@pytest.mark.slow
def test_shapes_that_vary(board: Device, make_bundle) -> None:
    with open_trial(board, {"candidate": make_bundle(batch="N")}, PLAN) as runner:
        assert one(runner, "solo").arms["a"].checks[0].ok


def test_wrong_outputs_are_never_timed(board: Device, make_bundle) -> None:
    import numpy as np

    bundle = make_bundle(golden=np.ones((1, 4, 8, 8), np.float32))
    with pytest.raises(RunFailedError, match="output 'y' differs"), open_trial(board, {"candidate": bundle}, PLAN) as r:
        r.solo(1)


@pytest.mark.slow
def test_an_engine_of_another_build_is_built_anew(board: Device, make_bundle, trtexec: Path, monkeypatch) -> None:
    with open_trial(board, {"candidate": make_bundle()}, PLAN):
        pass
    trt.configure(trtexec, build=26)
    monkeypatch.setenv("SEATRIAL_STAND_IN_BUILD", "26")
    with open_trial(board, {"candidate": make_bundle()}, PLAN) as runner:
        assert runner.trial.builds["candidate"].cached
        runner.solo(1)
    assert [run.status for run in runner.trial.runs] == ["ok"]


@pytest.mark.slow
def test_an_inference_that_fails_says_what_tensorrt_said(board: Device, make_bundle, monkeypatch) -> None:
    monkeypatch.setenv("SEATRIAL_STAND_IN_FAILS", "1")
    with pytest.raises(RunFailedError, match="enqueueV3"), open_trial(board, {"candidate": make_bundle()}, PLAN) as r:
        r.solo(1)


PROBLEMS = {
    "another version": ({"SEATRIAL_STAND_IN_TENSORRT": "8.6.1"}, "its Python has TensorRT 8.6.1, its trtexec 10.3.0"),
    "no GPU": ({"SEATRIAL_STAND_IN_NO_GPU": "1"}, "no GPU can be used: CUDA error 100: no CUDA-capable device"),
    "no tensorrt": ({"PYTHONPATH": ""}, "can't be imported.*sudo apt-get install python3-libnvinfer"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_device_whose_python_is_not_fit(board: Device, make_bundle, monkeypatch, name: str) -> None:
    environment, words = PROBLEMS[name]
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(DeviceError, match=words), open_trial(board, {"candidate": make_bundle()}, PLAN):
        pass


def test_a_libcudart_that_is_not_where_the_inventory_says(board: Device, make_bundle) -> None:
    wrong = board.model_copy(update={"library": "/opt/none/libcudart.so"})
    with (
        pytest.raises(DeviceError, match=r"no /opt/none/libcudart\.so"),
        open_trial(wrong, {"candidate": make_bundle()}, PLAN),
    ):
        pass


@pytest.mark.slow
def test_a_device_without_trtexec_builds_by_python(board: Device, make_bundle) -> None:
    """Shapes that vary, the timing cache, the layers: all that a build by trtexec has."""
    without = board.model_copy(update={"trtexec": None})
    for cached in (False, True):
        with open_trial(without, {"candidate": make_bundle(batch="N")}, PLAN) as runner:
            result = one(runner, "solo")
        build = runner.trial.builds["candidate"]
        assert (build.cached, build.made_by, build.precisions) == (cached, "python3 10.3.0", {"int8": 1})
        assert build.seconds is not None
        assert result.arms["a"].checks[0].ok
    assert runner.trial.settings["gpu"] == "Orin"
    (cache,) = (Path(str(board.root)) / "timing").iterdir()
    assert cache.read_bytes().count(b"timing cache") == 1


@pytest.mark.slow
def test_a_build_by_python_that_fails_says_why(board: Device, make_bundle, monkeypatch) -> None:
    monkeypatch.setenv("SEATRIAL_STAND_IN_NO_MEMORY", "1")
    without = board.model_copy(update={"trtexec": None})
    with (
        pytest.raises(DeviceError, match=r"too little memory.*OutOfMemory"),
        open_trial(without, {"candidate": make_bundle()}, PLAN),
    ):
        pass
