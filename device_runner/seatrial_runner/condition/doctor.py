"""Is a device fit to be measured on? Facts in, findings out, each with the command that mends it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from seatrial_targets.inventory import Device
from seatrial_targets.profile import TargetProfile
from seatrial_targets.units import format_size

from ..records import DeviceState, MeterInfo
from ..transport.adb import serial_of
from .finding import LEVELS, Finding, Level, worst

__all__ = ["LEVELS", "Facts", "Finding", "Level", "examine", "on_device", "worst"]

# Below these a trial fails or its figures suffer: a runtime library is 25 MB, a model and its golden files up to a few
# hundred; the kernel starts to reclaim pages when little memory is left.
LEAST_DISK_BYTES, LITTLE_DISK_BYTES = 100_000_000, 500_000_000
LEAST_MEMORY_BYTES = 200_000_000
HOT_C = 75.0  # Raspberry Pi boards throttle from 80 (documentation, "frequency management and thermal control")
LEAST_BATTERY_PERCENT = 25.0  # AndroidX Benchmark refuses below it
BUSY_PER_CPU = 0.25  # load that others make, as a share of the CPUs


@dataclass(frozen=True)
class Facts:
    """What was found out about a device. ``problem`` says why it could not be reached; all else is then empty."""

    device: Device
    profile: TargetProfile | None = None
    problem: str = ""
    remedy: str = ""
    state: DeviceState | None = None
    root: str = ""
    holder: str = ""  # who measures on it now; empty: nobody
    holder_seconds: int = 0
    library: str = ""  # where the runtime library is or will come from
    library_problem: str = ""
    library_remedy: str = ""
    agent: Literal["native", "python", ""] = ""
    meter: MeterInfo | None = None
    meter_problem: str = ""
    runtime: tuple[Finding, ...] | None = None  # of a runtime without library and agent of ours: its own findings


def examine(facts: Facts) -> tuple[Finding, ...]:
    """Return the findings, in a fixed order. When the device can't be reached there is one."""
    if facts.state is None:
        reachable = Finding("reachable", "error", facts.problem or "was not reached", facts.remedy)
        return (reachable, *(facts.runtime or ()))
    return tuple(_all(facts, facts.state))


def on_device(device: Device, command: str) -> str:
    """Return what to type here so that ``command`` runs on the device."""
    if device.transport == "ssh":
        port = ["-p", str(device.port)] if device.port else []
        key = ["-i", device.key] if device.key else []
        jump = ["-J", device.jump] if device.jump else []
        host = device.ssh_config_host or device.address or ""
        return shlex.join(["ssh", *port, *key, *jump, f"{device.user}@{host}" if device.user else host, command])
    if device.transport == "adb":
        return shlex.join(["adb", "-s", serial_of(device) or "", "shell", command])
    return command


def _all(facts: Facts, state: DeviceState) -> Iterator[Finding]:
    yield _reachable(facts, state)
    yield _architecture(facts, state)
    yield _in_use(facts)
    yield _load(state, facts)
    yield _disk(facts, state)
    yield _memory(state)
    if facts.runtime is None:
        yield _library(facts)
        yield _agent(facts, state)
    else:
        yield from facts.runtime
    yield _governor(facts, state)
    yield _thermal(state)
    yield from _battery(state)
    yield _meter(facts)
    if facts.device.stamp:
        yield Finding("stamp", "note", f"{facts.device.stamp}: results say nothing about real hardware")


def _reachable(facts: Facts, state: DeviceState) -> Finding:
    words = [state.model, state.os, state.kernel]
    return Finding("reachable", "ok", f"{facts.device.transport}: {', '.join(word for word in words if word)}")


def _architecture(facts: Facts, state: DeviceState) -> Finding:
    cpus = f"{state.cpu_count} CPUs" if state.cpu_count else "CPU count unknown"
    text = f"{state.machine}, {cpus}"
    if facts.profile is None:
        return Finding("processor", "note", text)
    wrong = facts.profile.mismatch(machine=state.machine)
    if wrong:
        return Finding("processor", "error", wrong, "seatrial targets list")
    threads = facts.profile.runtime.threads
    if state.cpu_count and threads > state.cpu_count:
        return Finding("processor", "warning", f"{text}, but the target wants {threads} threads", "--threads N")
    return Finding("processor", "ok", f"{text}, as target {facts.profile.name} wants")


def _in_use(facts: Facts) -> Finding:
    if not facts.holder:
        return Finding("in use", "ok", "nobody measures on it")
    text = f"{facts.holder} measures on it; the lease ends in {facts.holder_seconds} s at the earliest"
    return Finding("in use", "warning", text, f"sleep {facts.holder_seconds}")


def _load(state: DeviceState, facts: Facts) -> Finding:
    if state.load_1m is None:
        return Finding("load", "note", "the device does not tell its load")
    text = f"{state.load_1m:.2f} over the last minute"
    if state.load_1m > BUSY_PER_CPU * (state.cpu_count or 1):
        return Finding("load", "warning", f"{text}: something else runs there", on_device(facts.device, "top -b -n 1"))
    return Finding("load", "ok", text)


def _disk(facts: Facts, state: DeviceState) -> Finding:
    if state.disk_free is None:
        return Finding("disk", "note", f"free space at {facts.root} is unknown")
    text = f"{format_size(state.disk_free)} free at {facts.root}"
    clean = f"seatrial devices clean {facts.device.name}"
    if state.disk_free < LEAST_DISK_BYTES:
        return Finding("disk", "error", f"{text}: not enough for a runtime library and a model", clean)
    level: Level = "warning" if state.disk_free < LITTLE_DISK_BYTES else "ok"
    return Finding("disk", level, text, clean if level == "warning" else "")


def _memory(state: DeviceState) -> Finding:
    if state.memory_available is None:
        return Finding("memory", "note", "the device does not tell its free memory")
    total = f" of {format_size(state.memory_total)}" if state.memory_total else ""
    text = f"{format_size(state.memory_available)}{total} available"
    return Finding("memory", "warning" if state.memory_available < LEAST_MEMORY_BYTES else "ok", text)


def _library(facts: Facts) -> Finding:
    if facts.library_problem:
        return Finding("runtime library", "error", facts.library_problem, facts.library_remedy)
    return Finding("runtime library", "ok", facts.library)


def _agent(facts: Facts, state: DeviceState) -> Finding:
    if facts.agent == "native":
        return Finding("agent", "ok", f"native, for {state.machine}")
    if facts.agent == "python":
        text = f"there is no native agent for {state.machine}; the one in Python runs, but costs more memory"
        return Finding("agent", "note", text, "make agents")
    text = f"there is no native agent for {state.machine}, and the device has no python3"
    return Finding("agent", "error", text, on_device(facts.device, "sudo apt-get install python3-minimal"))


def _governor(facts: Facts, state: DeviceState) -> Finding:
    if not state.governors:
        return Finding("clocks", "note", "the device does not tell its clock governor; clocks are the host's matter")
    clocks = _clock_text(state)
    other = sorted({name for name in state.governors.values() if name != "performance"})
    if not other:
        return Finding("clocks", "ok", f"governor performance{clocks}")
    command = "echo performance | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
    text = f"governor {', '.join(other)}{clocks}: clocks will move while we measure"
    return Finding("clocks", "warning", text, on_device(facts.device, command))


def _clock_text(state: DeviceState) -> str:
    clocks = sorted(set(state.frequencies_khz.values()))
    return f", {' and '.join(f'{khz / 1e6:.2f} GHz' for khz in clocks[:3])}" if clocks else ""


def _thermal(state: DeviceState) -> Finding:
    if state.throttled:
        return Finding("thermal", "error", "the device is throttled now; let it cool, or improve cooling or supply")
    if not state.temperatures_c:
        return Finding("thermal", "note", "the device does not tell its temperature")
    zone, hottest = max(state.temperatures_c.items(), key=lambda item: item[1])
    level: Level = "warning" if hottest >= HOT_C else "ok"
    return Finding("thermal", level, f"{hottest:.0f} C at {zone}" + (": near throttling" * (level == "warning")))


def _battery(state: DeviceState) -> Iterator[Finding]:
    if state.battery_percent is None:
        return
    charging = {True: ", charging", False: ", discharging", None: ""}[state.charging]
    text = f"{state.battery_percent:.0f} %{charging}"
    low = state.battery_percent < LEAST_BATTERY_PERCENT
    if low and not state.charging:
        yield Finding("battery", "error", f"{text}: phones throttle below {LEAST_BATTERY_PERCENT:.0f} %; charge it")
    elif state.charging:
        yield Finding("battery", "note", f"{text}: energy that a battery gauge shows is wrong while it charges")
    else:
        yield Finding("battery", "ok", text)


def _meter(facts: Facts) -> Finding:
    if facts.meter is None:
        why = facts.meter_problem or "the device has no energy meter that we can read"
        return Finding("energy meter", "note", f"energy will not be measured: {why}")
    return Finding("energy meter", "ok", f"{facts.meter.id} ({facts.meter.kind}, {facts.meter.scope})")
