"""The doctor judges facts: each finding follows from one number, and names the command that mends it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from seatrial_runner.condition.doctor import LEVELS, Facts, Finding, examine, on_device, worst
from seatrial_runner.records import DeviceState, MeterInfo
from seatrial_targets import registry
from seatrial_targets.inventory import Device

PI = Device(name="lab-pi", target="raspberry-pi-5-int8", transport="ssh", address="192.0.2.7", user="bench", port=2222)
HEALTHY = DeviceState(
    unix_ns=1,
    os="Debian GNU/Linux 12",
    kernel="Linux 6.6",
    machine="aarch64",
    model="Raspberry Pi 5",
    cpu_count=4,
    governors={"policy0": "performance"},
    frequencies_khz={"policy0": 2_400_000},
    temperatures_c={"thermal_zone0 cpu": 48.0},
    throttled=False,
    load_1m=0.1,
    memory_total=8_000_000_000,
    memory_available=7_000_000_000,
    disk_free=20_000_000_000,
)
FACTS = Facts(
    PI,
    registry.get("raspberry-pi-5-int8"),
    state=HEALTHY,
    root="/home/bench/.cache/seatrial",
    library="ONNX Runtime 1.31.1 for aarch64: on the device",
    agent="native",
    meter=MeterInfo(id="hwmon:ina238:energy1", kind="counter", scope="rail of ina238", path="/sys/x"),
)


def findings(facts: Facts = FACTS, **state: Any) -> dict[str, Finding]:
    seen = facts.state.model_copy(update=state) if facts.state else None
    return {finding.check: finding for finding in examine(replace(facts, state=seen))}


def test_a_healthy_device_is_well_in_every_respect() -> None:
    assert {finding.level for finding in findings().values()} == {"ok"}
    assert worst(examine(FACTS)) == "ok"
    assert [finding.command for finding in examine(FACTS)] == [""] * len(findings())


def test_what_can_not_be_reached_gives_one_finding_with_its_remedy() -> None:
    facts = Facts(PI, problem="lab-pi: nobody answers", remedy="ssh -v bench@192.0.2.7 true")
    assert examine(facts) == (Finding("reachable", "error", "lab-pi: nobody answers", "ssh -v bench@192.0.2.7 true"),)


@pytest.mark.parametrize(
    ("check", "level", "state"),
    [
        ("processor", "error", {"machine": "x86_64"}),
        ("load", "warning", {"load_1m": 1.5}),
        ("load", "note", {"load_1m": None}),
        ("disk", "error", {"disk_free": 50_000_000}),
        ("disk", "warning", {"disk_free": 300_000_000}),
        ("disk", "note", {"disk_free": None}),
        ("memory", "warning", {"memory_available": 100_000_000}),
        ("memory", "note", {"memory_available": None}),
        ("clocks", "warning", {"governors": {"policy0": "ondemand", "policy4": "performance"}}),
        ("clocks", "note", {"governors": {}}),
        ("thermal", "error", {"throttled": True}),
        ("thermal", "warning", {"temperatures_c": {"cpu": 79.0, "gpu": 40.0}}),
        ("thermal", "note", {"temperatures_c": {}}),
        ("battery", "error", {"battery_percent": 12.0, "charging": False}),
        ("battery", "note", {"battery_percent": 12.0, "charging": True}),
        ("battery", "ok", {"battery_percent": 80.0, "charging": False}),
    ],
)
def test_one_fact_makes_one_finding(check: str, level: str, state: dict[str, Any]) -> None:
    found = findings(**state)
    assert found[check].level == level
    others = {name: finding for name, finding in found.items() if name not in (check, "battery")}
    assert {finding.level for finding in others.values()} == {"ok"}


@pytest.mark.parametrize(
    ("check", "level", "changes"),
    [
        ("in use", "warning", {"holder": "eve@lab (process 9)", "holder_seconds": 70}),
        ("runtime library", "error", {"library_problem": "no ONNX Runtime library for aarch64", "library_remedy": "x"}),
        ("agent", "note", {"agent": "python"}),
        ("agent", "error", {"agent": ""}),
        ("energy meter", "note", {"meter": None, "meter_problem": "root only"}),
    ],
)
def test_what_we_found_out_ourselves(check: str, level: str, changes: dict[str, Any]) -> None:
    assert findings(replace(FACTS, **changes))[check].level == level


def test_the_command_for_the_governor_runs_on_the_device() -> None:
    command = findings(governors={"policy0": "schedutil"})["clocks"].command
    assert command.startswith("ssh -p 2222 bench@192.0.2.7 'echo performance | sudo tee ")


def test_who_uses_it_is_named() -> None:
    found = findings(replace(FACTS, holder="eve@lab (process 9)", holder_seconds=70))["in use"]
    assert "eve@lab (process 9)" in found.text
    assert "70 s" in found.text


def test_a_stamp_is_always_told() -> None:
    stamped = replace(FACTS, device=PI.model_copy(update={"stamp": "qemu-user arm64"}))
    assert "qemu-user arm64" in findings(stamped)["stamp"].text


def test_more_threads_than_processors() -> None:
    profile = registry.get("raspberry-pi-5-int8")
    many = profile.model_copy(update={"runtime": profile.runtime.model_copy(update={"threads": 64})})
    assert findings(replace(FACTS, profile=many))["processor"].level == "warning"


def test_a_device_without_a_known_target_is_still_examined() -> None:
    assert findings(replace(FACTS, profile=None))["processor"] == Finding("processor", "note", "aarch64, 4 CPUs")


@pytest.mark.parametrize(
    ("device", "typed"),
    [
        (Device(name="l", target="x86-64-cpu-fp32", transport="local"), "echo 'a b'"),
        (
            Device(name="a", target="android-arm64-fp32", transport="adb", serial="R58"),
            """adb -s R58 shell 'echo '"'"'a b'"'"''""",
        ),
        (
            Device.model_validate({"name": "h", "target": "x86-64-cpu-fp32", "transport": "ssh", "host": "lab"}),
            """ssh lab 'echo '"'"'a b'"'"''""",
        ),
    ],
)
def test_how_a_command_reaches_the_device(device: Device, typed: str) -> None:
    assert on_device(device, "echo 'a b'") == typed


def test_the_worst_level_wins() -> None:
    made = tuple(Finding("x", level, "") for level in LEVELS)
    assert worst(made) == "error"
    assert worst(made[:2]) == "note"
    assert worst(()) == "ok"


def test_a_device_on_the_network_is_named_as_adb_names_it() -> None:
    phone = Device(name="phone", target="android-arm64-fp32", transport="adb", address="192.0.2.8")
    assert on_device(phone, "true") == "adb -s 192.0.2.8:5555 shell true"


def test_the_key_of_a_row_is_used() -> None:
    assert on_device(PI.model_copy(update={"key": "~/my key"}), "true").startswith("ssh -p 2222 -i '~/my key' ")
