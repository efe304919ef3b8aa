"""Phones: by the real pymobiledevice3 to a stand-in phone, and by a stand-in devicectl behind the real sshd."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from peers import devicectl, mac
from peers.devices import ssh_device, trusted
from peers.iphone import UDID, StandInPhone
from peers.sshd import Sshd
from seatrial_runner.bundle import Bundle
from seatrial_runner.plan import Event
from seatrial_runner.records import Trial
from seatrial_runner.runtime.coreml import phone_state
from seatrial_runner.runtime.coreml.phone_state import app_installed, parse_phone, read_phone
from seatrial_runner.transport import open_transport
from seatrial_runner.trial import RunFailedError, open_trial
from seatrial_targets.errors import AgentError, DeviceError, HarnessError, LinkLostError, UserError
from seatrial_targets.inventory import Device

from .conftest import QUICK, STAND_IN

Make = Callable[..., Bundle]
TARGET, OLDER = "iphone-a17-fp16", "iphone-a15-fp16"
ROW = {"name": "phone", "target": TARGET, "stamp": STAND_IN}


@pytest.fixture
def by_mac(new_sshd: Callable[..., Sshd], tmp_path: Path, own_home: Path) -> Device:
    """A phone that hangs on a stand-in Mac behind a real sshd."""
    server = new_sshd(path=mac.install(tmp_path / "mac-bin", phone=tmp_path / "phone"))
    return trusted(ssh_device(server, **ROW, serial=devicectl.UDID))


def measured(device: Device, bundles: dict[str, Bundle], out: Path) -> Trial:
    with open_trial(device, bundles, QUICK, out=out) as runner:
        runner.solo(1)
        runner.pairs(1)
    return Trial.model_validate_json(out.read_bytes())


def phone_is(tmp_path: Path, **state: bool) -> None:
    (tmp_path / "phone" / "state.json").write_text(json.dumps(state))


@pytest.mark.slow
def test_a_trial_by_devicectl(by_mac: Device, make_package: Make, tmp_path: Path) -> None:
    bundles = {"candidate": make_package(TARGET), "baseline": make_package(TARGET, name="other")}
    trial = measured(by_mac, bundles, tmp_path / "trial.json")
    assert [run.kind for run in trial.runs] == ["solo", "solo", "duet"]
    assert all(run.counts for run in trial.runs)
    assert trial.runs[0].result.apple.placement_problem
    assert (trial.before.os, trial.before.model) == ("iOS 17.5.1 (21F90)", "iPhone16,1")
    assert trial.settings["link"] == "devicectl"


def test_a_bundle_is_sent_to_the_phone_once(by_mac: Device, make_package: Make, tmp_path: Path) -> None:
    bundle = make_package(TARGET)
    sent = tmp_path / "phone" / "container" / "Documents" / "seatrial" / "packages" / bundle.digest / "golden" / "x.npy"
    with open_trial(by_mac, {"candidate": bundle}, QUICK):
        first = sent.stat().st_mtime_ns
    with open_trial(by_mac, {"candidate": bundle}, QUICK):
        assert sent.stat().st_mtime_ns == first


@pytest.mark.parametrize(
    ("state", "error", "words"),
    [
        ({"locked": True}, DeviceError, "phone is locked: unlock it"),
        ({"installed": False}, DeviceError, "app is not on the phone: install the app once"),
        ({"unplugged": True}, LinkLostError, "phone is not there: is it plugged in"),
    ],
)
def test_what_is_wrong_with_the_phone_is_said(
    by_mac: Device, make_package: Make, tmp_path: Path, state: dict[str, bool], error: type[Exception], words: str
) -> None:
    phone_is(tmp_path, **state)
    with pytest.raises(error, match=words), open_trial(by_mac, {"candidate": make_package(TARGET)}, QUICK):
        pass


@pytest.mark.slow
def test_an_app_that_leaves_no_result(by_mac: Device, make_package: Make, tmp_path: Path) -> None:
    plan = QUICK.but(run_seconds=3, redos=0)
    with open_trial(by_mac, {"candidate": make_package(TARGET)}, plan) as runner:
        phone_is(tmp_path, silent=True)
        with pytest.raises(AgentError, match="left no result: is the phone unlocked"):
            runner.solo(1)
        phone_is(tmp_path)
        runner.solo(1)
    assert [run.status for run in runner.trial.runs] == ["device_error", "ok"]


def test_a_mac_without_xcode(new_sshd: Callable[..., Sshd], tmp_path: Path, own_home: Path, make_package: Make) -> None:
    server = new_sshd(path=mac.install(tmp_path / "mac-bin"))
    device = trusted(ssh_device(server, **ROW, serial=devicectl.UDID))
    with (
        pytest.raises(HarnessError, match=r"devicectl is not on the machine .* Xcode 15"),
        open_trial(device, {"candidate": make_package(TARGET)}, QUICK),
    ):
        pass


def test_a_bundle_for_macs_does_not_go_to_a_phone(by_mac: Device, make_package: Make) -> None:
    with pytest.raises(UserError, match="for macos"), open_trial(by_mac, {"candidate": make_package()}, QUICK):
        pass


def test_a_phone_without_a_serial() -> None:
    with pytest.raises(ValueError, match="the phone's UDID"):
        Device(**ROW, transport="usbmux")


@pytest.mark.parametrize(
    "text", [b"", b"facts\n\nbattery\n\napp no\n", b"facts\n[]\nbattery\n", b"\xff\x00", b"facts\n{}"]
)
def test_facts_that_are_none(text: bytes) -> None:
    with pytest.raises(DeviceError, match="came back empty"):
        parse_phone(text, Device(**ROW, transport="usbmux", serial=UDID))


@pytest.mark.slow
def test_a_trial_by_pymobiledevice3(by_usb: Device, phone: StandInPhone, make_package: Make, tmp_path: Path) -> None:
    bundles = {"candidate": make_package(OLDER), "baseline": make_package(OLDER, name="other")}
    trial = measured(by_usb, bundles, tmp_path / "trial.json")
    assert [run.kind for run in trial.runs] == ["solo", "solo", "duet"]
    assert all(run.counts for run in trial.runs)
    assert (trial.before.os, trial.before.model) == ("iOS 16.7.2 (20H115)", "iPhone14,5")
    assert (trial.before.battery_percent, trial.before.charging) == (87, False)
    assert trial.before.temperatures_c == {"battery": 31.2}
    assert phone.launches == 3


@pytest.mark.slow
def test_what_the_real_program_says_of_a_phone(
    by_usb: Device, phone: StandInPhone, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_transport(by_usb) as transport:
        assert app_installed(by_usb, transport)
        phone.installed = False
        assert not app_installed(by_usb, transport)
        phone.installed, phone.locked = True, True
        with pytest.raises(DeviceError, match="phone is locked"):
            read_phone(by_usb, transport)
        phone.locked, phone.trusted = False, False
        monkeypatch.setattr(phone_state, "ANSWER_SECONDS", 10)
        with pytest.raises(DeviceError, match="tap Trust"):
            read_phone(by_usb, transport)
        phone.trusted = True
        phone.unplug()
        with pytest.raises(LinkLostError, match="phone is not there"):
            read_phone(by_usb, transport)


@pytest.mark.slow
def test_developer_mode_is_off(by_usb: Device, phone: StandInPhone, make_package: Make) -> None:
    phone.developer_mode = False
    with (
        pytest.raises(DeviceError, match="Developer Mode is off"),
        open_trial(by_usb, {"candidate": make_package(OLDER)}, QUICK) as runner,
    ):
        runner.solo(1)


@pytest.mark.slow
def test_unplugged_in_the_middle_of_a_run(
    by_usb: Device, phone: StandInPhone, make_package: Make, tmp_path: Path
) -> None:
    out, bundles = tmp_path / "trial.json", {"candidate": make_package(OLDER)}

    def pull_the_cable(event: Event) -> None:
        if event.stage == "solo runs" and event.done == 1:
            phone.silent = True
            phone.unplug()

    with (
        pytest.raises(LinkLostError, match="phone is not there"),
        open_trial(by_usb, bundles, QUICK, out=out, on_event=pull_the_cable) as runner,
    ):
        runner.solo(2)
    assert [run.status for run in runner.trial.runs] == ["ok", "device_error"]
    phone.plugged, phone.silent = True, False
    with open_trial(by_usb, bundles, QUICK, out=out, resume=True) as runner:
        runner.solo(2)
    assert [run.status for run in runner.trial.runs] == ["ok", "ok"]


def test_wrong_outputs_of_the_app(by_mac: Device, make_package: Make, tmp_path: Path) -> None:
    phone_is(tmp_path, wrong=True)
    with (
        pytest.raises(RunFailedError, match="differs from the golden output"),
        open_trial(by_mac, {"candidate": make_package(TARGET)}, QUICK) as runner,
    ):
        runner.solo(1)


def test_the_program_is_not_installed(own_home: Path, make_package: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    device = Device(**ROW, transport="usbmux", serial=UDID)
    with (
        pytest.raises(HarnessError, match="pipx install pymobiledevice3"),
        open_trial(device, {"candidate": make_package(OLDER)}, QUICK),
    ):
        pass
