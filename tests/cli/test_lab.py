"""The doctor and a bench through the program, on devices that are not this machine: arm64 behind sshd and adbd."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from peers.program import QUICK, Call
from seatrial_ci.gate import load_trial
from seatrial_runner.bundle import Bundle
from seatrial_targets.inventory import Device

pytestmark = pytest.mark.lab


@pytest.fixture(params=["pi", "droid"])
def device(request: pytest.FixtureRequest) -> Device:
    """A device of the lab, written to ./devices.yaml as a user would."""
    found: Device = request.getfixturevalue(request.param)
    row = found.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"name"})
    Path("devices.yaml").write_text(json.dumps({"devices": {found.name: row}}))  # JSON is YAML
    return found


def test_the_doctor_examines_it(call: Call, device: Device) -> None:
    said = call("devices", "check", device.name, "--json")
    found = {finding["check"]: finding for finding in said.document["findings"]}
    assert found["reachable"]["level"] == "ok"
    assert "aarch64" in found["processor"]["text"]
    assert found["in use"]["level"] == "ok"
    assert "qemu-user arm64" in found["stamp"]["text"]
    assert found["agent"]["text"] == "native, for aarch64"


def test_a_bench_there_is_stamped(call: Call, device: Device, make_bundle: Callable[..., Bundle]) -> None:
    fetched = call("runtimes", "fetch", "aarch64")
    assert fetched.code == 0, fetched.err
    bundle = make_bundle(target=device.target)
    said = call("bench", bundle.path, "--device", device.name, "--out", "trial.json", *QUICK)
    assert said.code == 0, said.err
    assert "note: measured on qemu-user arm64; times say nothing about real hardware" in said.out
    trial = load_trial(Path("trial.json"))
    assert trial.device.stamp == "qemu-user arm64"
    assert {run.result.machine for run in trial.runs if run.result} == {"aarch64"}
    assert call("devices", "clean", device.name).code == 0
