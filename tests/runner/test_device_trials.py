"""Whole trials over real wires: sshd on loopback, and the arm64 lab behind sshd and adbd (slow: it is emulated)."""

import contextlib
import itertools
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers import lab
from peers.sshd import Sshd
from seatrial_runner.bundle import Bundle
from seatrial_runner.deadline import Deadline
from seatrial_runner.meter import energy_per_inference
from seatrial_runner.plan import Event, Plan
from seatrial_runner.records import Trial
from seatrial_runner.transport import open_transport
from seatrial_runner.trial import TrialRunner, open_trial
from seatrial_targets.errors import DeviceError, LinkLostError, UserError
from seatrial_targets.inventory import Device

QUICK = Plan(
    solo_runs=2, memory_runs=1, solo_iterations=8, duet_iterations=4, warmup_iterations=1, warmup_min_ns=1_000_000
).but(warmup_max_ns=500_000_000, duet_warmup_max_ns=500_000_000)
LIBRARY = "opt/py/onnxruntime/capi/libonnxruntime.so.*"


def on_lab(device: Device) -> Device:
    """The device, with the path of the aarch64 library that lies in its tree."""
    path = next((lab.FOLDER / "rootfs").glob(LIBRARY))
    return device.model_copy(update={"library": "/" + str(path.relative_to(lab.FOLDER / "rootfs"))})


def whole_trial(device: Device, bundle: Callable[..., Bundle], target: str) -> TrialRunner:
    bundles = {"candidate": bundle("new", target=target), "baseline": bundle("old", depth=8, target=target)}
    with open_trial(device, bundles, QUICK) as runner:
        runner.measure()
        runner.pairs(2)
    return runner


def assert_whole(runner: TrialRunner, machine: str) -> None:
    trial = runner.trial
    assert trial.status == "ok"
    assert {run.kind for run in trial.runs} == {"memory", "solo", "duet"}
    assert {run.result.machine for run in trial.runs} == {machine}
    assert {run.result.agent for run in trial.runs} == {"native"}
    assert all(check.ok for run in trial.runs for arm in run.result.arms.values() for check in arm.checks)


def test_over_ssh(board: Device, make_bundle):
    runner = whole_trial(board, make_bundle, make_bundle().manifest.target)
    assert_whole(runner, runner.trial.before.machine)
    assert runner.trial.device.transport == "ssh"


@pytest.mark.lab
def test_on_the_emulated_board_over_ssh(pi: Device, pi_board: lab.LabDevice, make_bundle):
    runner = whole_trial(on_lab(pi), make_bundle, "arm64-cpu-fp32")
    assert_whole(runner, "aarch64")
    assert runner.trial.device.stamp == "qemu-user arm64"
    assert pi_board.running("agent") == []


@pytest.mark.lab
def test_on_the_emulated_phone_over_adb(droid: Device, droid_board: lab.LabDevice, make_bundle):
    runner = whole_trial(on_lab(droid), make_bundle, "android-arm64-fp32")
    assert_whole(runner, "aarch64")
    assert droid_board.running("agent") == []


@pytest.mark.lab
def test_an_x86_bundle_is_refused_by_an_arm_board(pi: Device, make_bundle):
    bundle = make_bundle(target="x86-64-cpu-fp32")
    with pytest.raises(UserError, match="aarch64"), open_trial(on_lab(pi), {"candidate": bundle}, QUICK):
        pass


class At:
    """Calls ``act`` when the nth solo run begins."""

    def __init__(self, n: int, act: Callable[[], object]) -> None:
        self.n, self.act = n, act

    def __call__(self, event: Event) -> None:
        if event.stage == "solo runs" and event.done < event.total:
            self.n -= 1
            if self.n == 0:
                self.act()


@pytest.mark.slow
def test_sshd_killed_mid_run_loses_nothing_and_resume_goes_on(board: Device, sshd: Sshd, make_bundle, tmp_path: Path):
    out, bundles = tmp_path / "trial.json", {"candidate": make_bundle()}
    plan = QUICK.but(solo_runs=3, warmup_min_ns=1_500_000_000, warmup_max_ns=2_000_000_000)

    def soon() -> None:
        threading.Timer(0.7, sshd.stop).start()

    with pytest.raises(DeviceError), open_trial(board, bundles, plan, out=out, on_event=At(2, soon)) as runner:
        runner.measure()
    broken = Trial.model_validate_json(out.read_bytes())
    assert broken.status == "device_error"
    assert len(broken.of("solo")) == 1
    sshd.start()
    with open_trial(board, bundles, plan, out=out, resume=True) as resumed:
        resumed.measure()
    assert resumed.trial.status == "ok"
    assert len(resumed.trial.of("solo")) == 3
    assert resumed.trial.of("solo")[0] == broken.of("solo")[0]


def test_ctrl_c_while_pushing_gives_the_device_back_and_the_push_goes_on(board: Device, make_bundle):
    bundles, total = {"candidate": make_bundle()}, 0

    def stop_half_way(event: Event) -> None:
        nonlocal total
        if event.unit == "bytes" and event.done > event.total / 2 > 5_000_000:  # the runtime library
            total = event.total
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_trial(board, bundles, QUICK, on_event=stop_half_way):
        pass
    with open_transport(board) as transport:
        left = transport.run(["ls", "-A", transport.root], deadline=Deadline.after(60)).stdout
    assert left == b"blobs\n"
    with open_trial(board, bundles, QUICK) as runner:
        pass
    assert 0 < runner.session.bytes_sent < total


@pytest.mark.lab
def test_a_pulled_cable_is_an_error_and_the_device_cleans_itself(
    pi: Device, pi_board: lab.LabDevice, make_bundle, tmp_path: Path
):
    plan = QUICK.but(warmup_min_ns=20_000_000_000, warmup_max_ns=25_000_000_000, run_seconds=30.0)
    bundles = {"candidate": make_bundle(target="arm64-cpu-fp32")}

    def pull() -> None:
        threading.Timer(5, pi_board.link, [False]).start()

    try:
        with pytest.raises(LinkLostError), open_trial(on_lab(pi), bundles, plan, on_event=At(1, pull)) as runner:
            runner.solo(1)
    finally:
        pi_board.link(True)
    patience = time.monotonic() + 90
    while pi_board.running("agent-") and time.monotonic() < patience:
        time.sleep(1)
    with open_trial(on_lab(pi), bundles, QUICK) as runner:
        runner.solo(1)
    caches = {"engines", "timing"}  # of other tests on the same board
    assert set(pi_board.shell("ls -A /home/pi/.cache/seatrial").split()) - caches == {"blobs"}


@contextlib.contextmanager
def counting(folder: Path) -> Iterator[None]:
    """A double of a hwmon counter, in the device's own tree: for the way of the numbers, not their truth.

    It is this machine that counts: under emulation a shell needs a second for what takes a millisecond here.
    """
    done = threading.Event()

    def count() -> None:
        for step in itertools.count():
            (folder / "new").write_text(f"{step * 20_000}\n")
            (folder / "new").rename(folder / "energy1_input")
            if done.wait(0.02):
                return

    folder.mkdir(parents=True)
    (folder / "name").write_text("double\n")
    thread = threading.Thread(target=count)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        shutil.rmtree(folder)


@pytest.mark.lab
def test_energy_is_read_from_a_counter_on_the_device(pi: Device, pi_board: lab.LabDevice, make_bundle):
    plan = QUICK.but(energy_runs=1, energy_window_ns=2_000_000_000, energy_sample_ns=50_000_000)
    bundles = {"candidate": make_bundle(target="arm64-cpu-fp32")}
    with counting(pi_board.tree / "sys/class/hwmon/hwmon0"), open_trial(on_lab(pi), bundles, plan) as runner:
        runner.energy(1)
    trial = runner.trial
    assert (trial.meter.id, trial.meter.kind, trial.meter.wraps_at) == ("hwmon:double:energy1", "counter", None)
    windows = trial.of("energy")[0].result.energy
    figure = energy_per_inference(windows, trial.meter)
    assert not isinstance(figure, str), figure
    # How fast the double counts depends on how busy the emulator is; all that was counted bounds what the burst took.
    counted_uj = windows.samples[-1].values[0] - windows.samples[0].values[0]
    assert 0 < figure.gross_mj * windows.inferences * 1000 <= counted_uj
    assert figure.idle_mw > 0
