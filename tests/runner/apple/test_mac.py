"""A Mac over SSH: the real sshd, a Mac's tools, a stand-in for what its compiler makes of our sources."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest

from seatrial import export
from seatrial_runner.bundle import Bundle
from seatrial_runner.condition.clean import clean
from seatrial_runner.meter import EnergyFigure, energy_per_inference
from seatrial_runner.records import Trial, agent_arm
from seatrial_runner.runtime.coreml import mac
from seatrial_runner.runtime.coreml.mac_state import read_mac
from seatrial_runner.transport import open_transport
from seatrial_runner.trial import RunFailedError, open_trial
from seatrial_targets.errors import DeviceError, UserError
from seatrial_targets.inventory import Device

from .conftest import QUICK

MODEL = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5))
    return {"module": net.eval(), "example_inputs": (torch.randn(1, 3, 8, 8),)}
"""
Make = Callable[..., Bundle]
NewMac = Callable[..., Device]


def files(device: Device) -> list[str]:
    with open_transport(device) as transport:
        root = Path(transport.root)
    return sorted(path.relative_to(root).as_posix().split("/")[0] for path in root.iterdir())


def test_a_trial_on_a_mac(new_mac: NewMac, make_package: Make, tmp_path: Path) -> None:
    device, out = new_mac(), tmp_path / "trial.json"
    bundles = {"candidate": make_package(), "baseline": make_package(name="other")}
    with open_trial(device, bundles, QUICK, out=out) as runner:
        runner.measure()
        runner.pairs(2)
    trial = Trial.model_validate_json(out.read_bytes())
    assert [run.kind for run in trial.runs] == ["memory", "memory", "solo", "solo", "duet", "duet"]
    assert all(run.counts for run in trial.runs)
    solo = trial.of("solo")[0].result
    assert solo.arms["a"].compile_ns
    assert len(solo.arms["a"].wall_ns) == 4
    assert solo.effective == {"os_build": "99A1", "low_power_mode": "off"}
    assert trial.of("memory")[0].result.memory.measure == "phys_footprint"
    assert [run.first for run in trial.of("duet")] == ["a", "b"]
    assert (trial.before.os, trial.before.model, trial.before.cpu_count) == ("macOS 15.1 (24B83)", "Mac99,1", 10)
    assert trial.settings["runner"] == trial.settings["runner"].removeprefix("../")
    assert "stand-in" in trial.device.stamp
    assert agent_arm(trial.of("duet")[0], "baseline").checks[0].ok
    assert files(device) == ["apple", "blobs", "packages"]


def test_the_runner_is_built_once_and_bundles_are_laid_out_once(new_mac: NewMac, make_package: Make) -> None:
    device, bundle = new_mac(), make_package()
    with open_trial(device, {"candidate": bundle}, QUICK) as runner:
        first = runner.session.bytes_sent
        program = Path(runner.session.transport.root) / runner.session.settings()["runner"].join(["apple/", ""])
        made = program.stat().st_mtime_ns
    with open_trial(device, {"candidate": bundle}, QUICK) as runner:
        assert runner.session.bytes_sent == 0 < first
    assert program.stat().st_mtime_ns == made


@pytest.mark.slow
def test_energy_by_powermetrics(new_mac: NewMac, make_package: Make) -> None:
    """The stand-in of the meter draws half a watt, and 4 W while the stand-in of the runner is in its burst."""
    plan = QUICK.but(energy_window_ns=1_500_000_000, warmup_min_ns=300_000_000, warmup_max_ns=400_000_000)
    with open_trial(new_mac(), {"candidate": make_package()}, plan) as runner:
        assert runner.session.meter.meter is not None, runner.session.meter.reason
        runner.energy(1)
        (run,) = [run for run in runner.so_far().runs if run.kind == "energy"]
        meter = runner.session.meter.meter
    assert run.counts, run.reason
    assert (run.power.problem, meter.scope) == ("", "CPU, GPU and Neural Engine of the chip")
    figure = energy_per_inference(run.result.energy, meter)
    assert isinstance(figure, EnergyFigure), figure
    burst_s = (run.result.energy.burst[1] - run.result.energy.burst[0]) / 1e9
    assert figure.idle_mw == pytest.approx(500, rel=0.1)
    assert figure.gross_mj * run.result.energy.inferences / burst_s == pytest.approx(4000, rel=0.1)
    assert any("estimate of three of its units" in doubt for doubt in figure.doubts)


def test_cleaning_leaves_nothing(new_mac: NewMac, make_package: Make) -> None:
    device = new_mac()
    with open_trial(device, {"candidate": make_package()}, QUICK):
        pass
    with open_transport(device) as transport:
        assert clean(transport) > 0
    assert files(device) == []


def test_what_a_mac_says_of_itself(new_mac: NewMac) -> None:
    with open_transport(new_mac()) as transport:
        state = read_mac(transport)
    assert (state.machine, state.battery_percent, state.charging, state.throttled) == ("arm64", 85, False, None)
    assert state.memory_total == 16 << 30
    assert state.memory_available == 121_000 * 16384
    assert (state.load_1m, state.boot_id[:8]) == (0.1, "11111111")
    assert state.disk_free


def test_a_machine_that_is_no_mac(board: Device, make_package: Make) -> None:
    with (
        pytest.raises(DeviceError, match=r"is no Mac \(it says: Linux"),
        open_trial(board, {"candidate": make_package()}, QUICK),
    ):
        pass


def test_a_bundle_for_an_iphone_does_not_run_on_the_mac_itself(new_mac: NewMac, make_package: Make) -> None:
    device = new_mac()
    with (
        pytest.raises(UserError, match="runs macOS, but target iphone-a17-fp16 is for ios"),
        open_trial(device, {"candidate": make_package("iphone-a17-fp16")}, QUICK),
    ):
        pass


def test_a_mac_without_a_compiler_says_what_to_install(new_mac: NewMac, make_package: Make) -> None:
    device, bundles = new_mac(swift=False), {"candidate": make_package()}
    with pytest.raises(DeviceError, match="xcode-select --install"), open_trial(device, bundles, QUICK):
        pass


def test_wrong_outputs_end_the_trial(new_mac: NewMac, make_package: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    device = new_mac()
    with open_trial(device, {"candidate": make_package()}, QUICK) as runner:
        equipped = runner.session.equipped["candidate"]
        assert isinstance(equipped, mac.MacRunner)
        folder = Path(runner.session.transport.root)
        program = folder / equipped.program.removeprefix("../../")
        program.write_text(program.read_text().replace("exec ", "STAND_IN_OUTPUTS=wrong exec "))
        with pytest.raises(RunFailedError, match="differs from the golden output"):
            runner.solo(1)


@pytest.mark.slow
def test_an_exported_model_from_torch_to_a_trial(new_mac: NewMac, tmp_path: Path) -> None:
    """Exported, sent, laid out, executed op by op there, and compared with what export saw it answer."""
    pytest.importorskip("coremltools")
    source = tmp_path / "model.py"
    source.write_text(MODEL)
    bundle = export(f"{source}:build", "mac-apple-silicon-fp16", tmp_path / "bundles")
    device = new_mac(evaluated=True)
    with open_trial(device, {"candidate": bundle}, QUICK) as runner:
        runner.solo(1)
    check = agent_arm(runner.trial.of("solo")[0], "candidate").checks[0]
    assert (check.ok, check.rel_l2) == (True, 0.0)
    assert 40 < bundle.manifest.parity["sqnr_db"] < 120  # from torch: float16 between operations, so not the same bits


def test_the_sources_that_travel_are_whole_and_the_same_each_time() -> None:
    with tarfile.open(fileobj=BytesIO(mac.archive())) as tar:
        names = tar.getnames()
    assert {"Package.swift", "Sources/seatrial-apple/main.swift", "Sources/SeatrialCore/Job.swift"} <= set(names)
    assert mac.archive() == mac.archive()
