"""TensorRT over real wires: an sshd on loopback, and the arm64 lab behind sshd and adbd, dressed as a Jetson."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from peers import jetson_lab, lab, trt
from peers.sshd import Sshd
from seatrial_runner.deadline import Deadline
from seatrial_runner.meter import energy_per_inference
from seatrial_runner.plan import Event, Plan
from seatrial_runner.runtime.tensorrt.doctor import examine
from seatrial_runner.transport import open_transport
from seatrial_runner.trial import open_trial
from seatrial_targets.errors import DeviceError
from seatrial_targets.inventory import Device

from .conftest import TARGET, profile_here

QUICK = Plan(
    solo_runs=1, memory_runs=0, energy_runs=0, solo_iterations=8, warmup_iterations=1, warmup_min_ns=1_000_000
).but(warmup_max_ns=500_000_000, energy_window_ns=6_000_000_000)


@pytest.mark.slow
def test_over_ssh(board: Device, trtexec: Path, make_bundle) -> None:
    device = board.model_copy(update={"target": TARGET, "trtexec": str(trtexec)})
    bundles = {"candidate": make_bundle(), "baseline": make_bundle("old", scale=0.5)}
    with open_trial(device, bundles, QUICK) as runner:
        runner.pairs(1)
    trial = runner.trial
    assert (trial.status, trial.device.transport, trial.device.stamp) == ("ok", "ssh", "stand-in trtexec")
    assert {run.result.agent for run in trial.runs} == {"trtexec"}
    assert all(check.ok for run in trial.runs for arm in run.result.arms.values() for check in arm.checks)


@pytest.mark.slow
def test_a_link_that_dies_while_an_engine_is_built_leaves_no_half_of_it(
    board: Device, sshd: Sshd, trtexec: Path, make_bundle
) -> None:
    device = board.model_copy(update={"target": TARGET, "trtexec": str(trtexec)})
    trt.configure(trtexec, faults={"build": "slow"})

    def cut(event: Event) -> None:
        if "building the engine" in event.stage:
            threading.Timer(1.0, sshd.stop).start()

    with pytest.raises(DeviceError), open_trial(device, {"candidate": make_bundle()}, QUICK, on_event=cut):
        pass
    sshd.start()
    trt.configure(trtexec, faults={})
    with open_transport(device) as transport:
        left = transport.run(["ls", f"{transport.root}/engines"], deadline=Deadline.after(60)).stdout
    assert left == b""
    with open_trial(device, {"candidate": make_bundle()}, QUICK) as runner:
        assert not runner.trial.builds["candidate"].cached


@pytest.mark.lab
def test_on_the_emulated_board_over_ssh(pi: Device, pi_board: lab.LabDevice, make_bundle) -> None:
    """Rails at their real paths, a power mode that this user may not set, an engine that is built once."""
    jetson_lab.dress(pi_board)
    profile = profile_here("aarch64") | {"preparation": ["power-mode=15W"], "meters": ["jetson"]}
    device = pi.model_copy(update={"target": TARGET, "allow_changes": "login"})
    try:
        with open_trial(device, {"candidate": make_bundle(profile=profile)}, QUICK) as runner:
            runner.solo(1)
            runner.energy(1)
        status = pi_board.shell("cat /var/lib/nvpmodel/status")
        with open_transport(device) as transport:
            found = {each.check: each for each in examine(device, transport, runner.session.state)}
    finally:
        jetson_lab.undress(pi_board)
    trial = runner.trial
    assert trial.device.stamp == "qemu-user arm64; stand-in trtexec"
    wanted = {"l4t": "36.4.3", "jetpack": "6.1 or later", "power mode": "25W", "gpu": "Orin", "tensorrt": "10.3.0"}
    assert {key: trial.settings.get(key) for key in wanted} == wanted
    (prepared,) = trial.preparation
    assert prepared.outcome == "not set"
    assert "Permission denied; it needs root" in prepared.reason
    assert status == "pmode:0001\n"
    assert trial.of("solo")[0].result.arms["a"].checks[0].ok
    assert (trial.meter.id, trial.meter.scope) == ("jetson:VDD_IN", "rail VDD_IN")
    figure = energy_per_inference(trial.of("energy")[0].result.energy, trial.meter)
    assert not isinstance(figure, str), figure
    assert figure.idle_mw == pytest.approx(5000)
    assert figure.net_mj == pytest.approx(0, abs=1e-6)
    assert found["power mode"].text.startswith("25W")
    assert found["TensorRT"].text == "10.3.0 by /usr/src/tensorrt/bin/trtexec"
    assert pi_board.running("trtexec") == []


@pytest.mark.lab
def test_on_the_emulated_android_over_adb(droid: Device, droid_board: lab.LabDevice, make_bundle) -> None:
    jetson_lab.dress(droid_board)
    jetson_lab.configure(droid_board, version="8.6.1")
    bundle = make_bundle(profile=profile_here("aarch64"))
    try:
        with open_trial(droid.model_copy(update={"target": TARGET}), {"candidate": bundle}, QUICK) as runner:
            runner.solo(1)
    finally:
        jetson_lab.undress(droid_board)
    assert runner.trial.settings["tensorrt"] == "8.6.1"
    assert runner.trial.of("solo")[0].result.arms["a"].checks[0].ok
    assert droid_board.running("trtexec") == []


@pytest.mark.lab
def test_an_ordinary_phone_over_adb_is_told_that_it_has_no_tensorrt(droid: Device, make_bundle) -> None:
    with open_transport(droid) as transport:
        from seatrial_runner.condition.state import read_state

        state = read_state(transport).model_copy(update={"os": "Android 15"})  # the lab's adbd has no getprop
        (found,) = examine(droid, transport, state)
    assert found.level == "error"
    assert "TensorRT does not exist for Android phones" in found.text
    assert "android-arm64-int8" in found.text
