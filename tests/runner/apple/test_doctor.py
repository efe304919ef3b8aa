"""`seatrial devices check` on phones and Macs: the steps that a human makes once, one after the other."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers import devicectl, mac, pymobiledevice3
from peers.devices import ssh_device, trusted
from peers.iphone import UDID, StandInPhone
from peers.sshd import Sshd
from seatrial_runner.condition.doctor import examine
from seatrial_runner.condition.facts import gather
from seatrial_targets.inventory import Device

STEPS = ["program", "plugged", "trusted", "developer", "app"]
ROW = {"name": "phone", "target": "iphone-a17-fp16", "stamp": "stand-in for an Apple device"}


def levels(device: Device) -> dict[str, str]:
    return {finding.check: finding.level for finding in examine(gather(device)) if finding.check in STEPS}


@pytest.fixture
def by_mac(new_sshd: Callable[..., Sshd], tmp_path: Path, own_home: Path) -> Device:
    """A phone that hangs on a stand-in Mac behind a real sshd."""
    server = new_sshd(path=mac.install(tmp_path / "mac-bin", phone=tmp_path / "phone"))
    return trusted(ssh_device(server, **ROW, serial=devicectl.UDID))


def test_a_phone_that_is_ready(by_mac: Device) -> None:
    assert levels(by_mac) == dict.fromkeys(STEPS, "ok")
    reachable = examine(gather(by_mac))[0]
    assert reachable.text == "ssh: iPhone16,1, iOS 17.5.1 (21F90), 21F90"


@pytest.mark.parametrize(
    ("state", "undone", "words"),
    [
        ({"unplugged": True}, "plugged", "plug it in by USB"),
        ({"developer_mode": False}, "developer", "Privacy & Security, Developer Mode"),
        ({"installed": False}, "app", "SeatrialRunner.xcodeproj in Xcode"),
    ],
)
def test_the_next_step_is_said(by_mac: Device, tmp_path: Path, state: dict[str, bool], undone: str, words: str) -> None:
    (tmp_path / "phone" / "state.json").write_text(json.dumps(state))
    before, after = STEPS[: STEPS.index(undone)], STEPS[STEPS.index(undone) + 1 :]
    assert levels(by_mac) == {**dict.fromkeys(before, "ok"), undone: "error", **dict.fromkeys(after, "note")}
    finding = next(finding for finding in examine(gather(by_mac)) if finding.check == undone)
    assert words in finding.command


def test_a_mac_without_xcode_has_all_steps_before_it(
    new_sshd: Callable[..., Sshd], tmp_path: Path, own_home: Path
) -> None:
    server = new_sshd(path=mac.install(tmp_path / "mac-bin"))
    device = trusted(ssh_device(server, **ROW, serial=devicectl.UDID))
    assert levels(device) == {"program": "error", **dict.fromkeys(STEPS[1:], "note")}


@pytest.mark.parametrize(("swift", "level"), [(True, "ok"), (False, "error")])
def test_a_mac_needs_a_compiler(
    new_sshd: Callable[..., Sshd], tmp_path: Path, own_home: Path, swift: bool, level: str
) -> None:
    server = new_sshd(path=mac.install(tmp_path / "mac-bin", swift=swift))
    device = trusted(ssh_device(server, **{**ROW, "target": "mac-apple-silicon-fp16"}))
    found = {finding.check: finding for finding in examine(gather(device))}
    assert found["compiler"].level == level
    assert "runtime library" not in found


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[StandInPhone]:
    """A stand-in phone that hangs on this machine."""
    made = StandInPhone(tmp_path / "iphone")
    yield made
    made.stop()


@pytest.mark.slow
def test_the_steps_by_the_real_pymobiledevice3(
    phone: StandInPhone, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{pymobiledevice3.install()}:{os.environ['PATH']}")
    monkeypatch.setenv("USBMUXD_SOCKET_ADDRESS", phone.address)
    device = Device(**{**ROW, "target": "iphone-a15-fp16"}, transport="usbmux", serial=UDID)
    assert levels(device) == dict.fromkeys(STEPS, "ok")
    phone.developer_mode = False
    assert levels(device)["developer"] == "error"
    phone.locked = True
    assert levels(device)["trusted"] == "error"
