"""Find out what the doctor needs to know of a device: connect, look, change nothing but our cache folder."""

from __future__ import annotations

import shlex
from typing import Any, Literal

from seatrial_targets import registry
from seatrial_targets.errors import (
    AuthenticationError,
    ConfigError,
    HostKeyError,
    SeatrialError,
    UnknownNameError,
)
from seatrial_targets.inventory import Device
from seatrial_targets.profile import TargetProfile

from ..agent import native_agent
from ..deadline import Deadline
from ..lease import held_by
from ..meter import choose_for
from ..records import DeviceState
from ..runtime.base import Runtime, get_runtime
from ..transport import open_transport
from ..transport.base import Transport
from .doctor import Facts, on_device
from .finding import Finding
from .state import read_state

SECONDS = 60.0


def gather(device: Device) -> Facts:
    """Return what can be found out about ``device``. Never raises for what is wrong with the device: that is a fact."""
    profile = _profile(device)
    try:
        with open_transport(device) as transport:
            try:
                return Facts(device, profile, **_seen(device, profile, transport))
            except SeatrialError as error:
                steps = _steps(device, profile, transport)
                return Facts(device, profile, problem=str(error), remedy=_remedy(device, error), runtime=steps)
    except SeatrialError as error:
        return Facts(device, profile, problem=str(error), remedy=_remedy(device, error))


def _steps(device: Device, profile: TargetProfile | None, transport: Transport) -> tuple[Finding, ...] | None:
    """What the runtime finds of a device that did not tell its state: which step is missing."""
    return get_runtime(profile.runtime.name).examine(device, transport, None) if profile else None


def _seen(device: Device, profile: TargetProfile | None, transport: Transport) -> dict[str, Any]:
    runtime = get_runtime(profile.runtime.name) if profile else None
    state = runtime.read_state(device, transport) if runtime else read_state(transport)
    holder, left = held_by(transport)
    choice = choose_for(device, transport, profile.meters if profile else ())
    return {
        "state": state,
        "root": transport.root,
        "holder": holder,
        "holder_seconds": left,
        "meter": choice.meter,
        "meter_problem": choice.reason,
        **_runtime(runtime, device, profile, transport, state, busy=bool(holder)),
    }


def _runtime(
    runtime: Runtime | None,
    device: Device,
    profile: TargetProfile | None,
    transport: Transport,
    state: DeviceState,
    *,
    busy: bool,
) -> dict[str, Any]:
    own = runtime.examine(device, transport, state) if runtime else None
    if own is not None:
        return {"runtime": own}
    agent = _agent(transport, state.machine)
    return {"agent": agent, **_library(device, profile, transport, state.machine, busy=busy)}


def _profile(device: Device) -> TargetProfile | None:
    try:
        return registry.get(device.target)
    except (ConfigError, UnknownNameError):
        return None


def _agent(transport: Transport, machine: str) -> Literal["native", "python", ""]:
    if native_agent(machine) is not None:
        return "native"
    found = transport.run(["sh", "-c", "command -v python3"], deadline=Deadline.after(SECONDS)).ok
    return "python" if found else ""


def _library(
    device: Device, profile: TargetProfile | None, transport: Transport, machine: str, *, busy: bool
) -> dict[str, str]:
    if device.library:
        return _given_library(device.library, transport)
    from ..libraries import find

    try:
        library = find(machine, profile.runtime.versions if profile else "")
    except SeatrialError as error:
        return {"library_problem": str(error), "library_remedy": f"seatrial runtimes fetch {machine}"}
    name = f"ONNX Runtime {library.version} for {library.machine}"
    if busy:  # looking would hash 25 MB on the device while somebody measures there
        return {"library": f"{name} is here; whether the device has it already is not looked at while it is in use"}
    wanted = {library.sha256: (library.path.stat().st_size, 0o600)}
    absent = transport.missing(wanted, deadline=Deadline.after(SECONDS))
    return {"library": f"{name}: {'will be pushed' if absent else 'on the device'}"}


def _given_library(path: str, transport: Transport) -> dict[str, str]:
    there = transport.run(["sh", "-c", '[ -r "$1" ]', "seatrial", path], deadline=Deadline.after(SECONDS)).ok
    if there:
        return {"library": f"{path} on the device, as devices.yaml says"}
    return {"library_problem": f"devices.yaml names {path}, which the device does not have, or we may not read"}


def _remedy(device: Device, error: SeatrialError) -> str:
    """The command that mends, or at least explains, why a device can't be reached."""
    if isinstance(error, HostKeyError):
        return f"seatrial devices trust {device.name}"
    if device.transport == "adb":
        return "adb devices -l"
    if device.transport != "ssh" or device.serial:
        return ""
    if isinstance(error, AuthenticationError):
        host = device.ssh_config_host or device.address or ""
        port = ["-p", str(device.port)] if device.port else []
        return shlex.join(["ssh-copy-id", *port, f"{device.user}@{host}" if device.user else host])
    return on_device(device, "true").replace("ssh ", "ssh -v ", 1)
