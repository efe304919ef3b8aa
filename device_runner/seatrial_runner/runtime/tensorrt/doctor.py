"""What a doctor says of TensorRT on a device, and why it can't be used there, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from seatrial_targets import registry
from seatrial_targets.inventory import Device

from ...condition.finding import Finding
from ...deadline import Deadline
from ...lease import held_by
from ...meter.tegrastats import parse_tegrastats
from ...printable import printable
from ...records import DeviceState
from ...transport.base import Transport
from .identity import SECONDS, Identity, identify
from .version import Version

BUSY_PERCENT = 20  # of the GPU, by others
INSTALL = "sudo apt-get install libnvinfer-bin"
# One line of tegrastats, half a second after its start; it runs for ever otherwise.
LOAD = "command -v tegrastats >/dev/null && { tegrastats --interval 500 & sleep 1; kill $!; } 2>/dev/null | head -n 1"
PYTHON = "import platform, tensorrt; print(platform.python_version(), tensorrt.__version__)"
OLDEST_PYTHON = (3, 8)
INSTALL_PYTHON = "sudo apt-get install python3-libnvinfer"
_PHONE = "TensorRT does not exist for Android phones: NVIDIA publishes it for Linux, Windows, JetPack and DRIVE OS"


def examine(device: Device, transport: Transport, state: DeviceState) -> tuple[Finding, ...]:
    """Return the findings of a device that shall run TensorRT. Changes nothing; asks nothing of a GPU that measures."""
    identity = identify(transport, device.trtexec or "")
    if not identity.is_nvidia and not identity.absent:
        return (Finding("TensorRT", "error", why_not(identity, state), _instead(state)),)
    return tuple(_findings(identity, device, transport, state))


def why_not(identity: Identity, state: DeviceState) -> str:
    """Return why TensorRT can't be used on a device, and what helps; empty when it can."""
    if identity.absent:
        return f"there is no program {identity.absent}, which devices.yaml names as its trtexec"
    if identity.trtexec and not identity.problem:
        return ""
    if identity.trtexec:
        return f"{identity.trtexec} can't be used: {identity.problem}"
    if identity.version or identity.l4t:
        have = f"TensorRT {identity.version}" if identity.version else f"L4T {identity.l4t}"
        return (
            f"it has {have}, but no trtexec: {INSTALL}, or name its place with `trtexec:` in devices.yaml, or set"
            " `runner: python` there, which does without"
        )
    if identity.libraries:
        return f"it has {identity.libraries[0]}, but no trtexec; push one, and name it with `trtexec:` in devices.yaml"
    if state.os.startswith("Android"):
        return f"it has no libnvinfer. {_PHONE}; use one of {', '.join(phone_targets())}"
    return "it has no TensorRT: on a Jetson, sudo apt-get install nvidia-jetpack"


def phone_targets() -> tuple[str, ...]:
    """Return the targets for ordinary phones."""
    found = ((name, registry.get(name)) for name in registry.names())
    return tuple(name for name, p in found if p.device.os == "android" and p.runtime.name != "tensorrt")


def _instead(state: DeviceState) -> str:
    return "seatrial targets list" if state.os.startswith("Android") else ""


def _findings(identity: Identity, device: Device, transport: Transport, state: DeviceState) -> Iterator[Finding]:
    problem, by_python = why_not(identity, state), device.runner == "python"
    if problem:
        yield Finding("TensorRT", "note" if by_python else "error", problem, "" if by_python else _remedy(identity))
    else:
        yield Finding("TensorRT", "ok", f"{identity.version} by {identity.trtexec}")
    if by_python:
        yield _python(transport)
    yield _board(identity)
    if identity.gpu:
        yield Finding("GPU", "ok", f"{identity.gpu}, {identity.sms} SMs, compute capability {identity.capability}")
    yield _mode(identity)
    if not held_by(transport)[0]:
        yield from _load(transport)
    if identity.stand_in:
        yield Finding("stand-in", "note", "its trtexec is a stand-in: results say nothing about real hardware")


def _python(transport: Transport) -> Finding:
    """What `runner: python` needs; whether it finds a GPU, it is asked when a trial begins."""
    done = transport.run(["python3", "-c", PYTHON], deadline=Deadline.after(SECONDS), max_output=1 << 16)
    version, _, told = printable(done.stdout.strip(), 100).partition(" ")
    python, tensorrt = Version.from_text(version), Version.from_text(told)
    if not python or not tensorrt:
        said = printable(done.stderr, end=True) or f"exit code {done.returncode}"
        return Finding("Python runner", "error", f"python3 with the package tensorrt: {said}", INSTALL_PYTHON)
    if python < OLDEST_PYTHON:
        return Finding("Python runner", "error", f"Python {version} is too old: 3.8 or later")
    return Finding("Python runner", "ok", f"TensorRT {tensorrt} in Python {version}")


def _remedy(identity: Identity) -> str:
    return INSTALL if (identity.version or identity.l4t) and not identity.trtexec else ""


def _board(identity: Identity) -> Finding:
    words = {"module": identity.module, "JetPack": identity.jetpack, "L4T": identity.l4t, "CUDA": identity.cuda}
    told = ", ".join(f"{name} {value}" for name, value in words.items() if value)
    return Finding("board", "ok" if told else "note", told or "it does not tell L4T, JetPack or CUDA")


def _mode(identity: Identity) -> Finding:
    if not identity.power_mode:
        return Finding("power mode", "note", "the device does not tell its power mode, so results can't name it")
    return Finding("power mode", "ok", f"{identity.power_mode} (sudo nvpmodel -q --verbose shows what it allows)")


def _load(transport: Transport) -> Iterator[Finding]:
    done = transport.run(["sh", "-c", LOAD], deadline=Deadline.after(30.0), max_output=1 << 16)
    seen = parse_tegrastats(done.stdout.decode("utf-8", "replace"))
    if seen.gpu_percent is not None:
        busy = seen.gpu_percent >= BUSY_PERCENT
        text = f"{seen.gpu_percent} % in use" + ": something else runs on it; stop it" * busy
        yield Finding("GPU load", "warning" if busy else "ok", text)
