"""seatrial doctor: is this machine set up; what is missing, and the command that gets it."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import compress
from .command import Command
from .devices import findings_json, say_findings
from .export import NEEDED
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_runner.condition.doctor import Finding

# What each extra of the package brings, by the modules that tell that it is there.
EXTRAS = {
    **dict(NEEDED.values()),
    "compress": compress.NEEDED,
    "report": ("jinja2",),
    "demo": ("efficientnet_lite_pytorch", "skimage"),
}
PURPOSES = {
    "export": "to export models; not needed to bench and gate",
    "coreml": "to export for iPhones and Macs",
    "compress": "to compress models",
    "report": "for the HTML page",
    "demo": "for `make demo`",
}


@click.command(cls=Command)
@click.pass_obj
def doctor(screen: Screen) -> int:
    """Check this machine: Python, extras, programs, folders, agents, runtime libraries."""
    from seatrial_runner.condition.doctor import worst

    findings = tuple(examine())
    screen.document({"worst": worst(findings), "findings": findings_json(findings)})
    say_findings(screen, findings)
    return 3 if worst(findings) == "error" else 0


def examine() -> Iterator[Finding]:
    """Yield what was found."""
    from seatrial.version import __version__
    from seatrial_runner.condition.doctor import Finding

    yield Finding("seatrial", "ok", f"{__version__} in Python {platform.python_version()} at {sys.prefix}")
    yield Finding("system", "ok", f"{platform.system()} {platform.release()} on {platform.machine()}")
    yield from (_extra(name) for name in EXTRAS)
    yield _program("adb", "for devices reached by adb", "sudo apt-get install adb")
    yield _ssh_agent()
    yield from (_folder(name, path) for name, path in _folders().items())
    yield _inventory()
    yield from _agents()
    yield _libraries()


def _extra(name: str) -> Finding:
    from seatrial_runner.condition.doctor import Finding

    absent = [module for module in EXTRAS[name] if importlib.util.find_spec(module) is None]
    if not absent:
        return Finding(f"extra [{name}]", "ok", f"installed: {', '.join(EXTRAS[name])}")
    text = f"{', '.join(absent)} not installed; needed {PURPOSES[name]}"
    return Finding(f"extra [{name}]", "note", text, f"pip install 'seatrial[{name}]'")


def _program(name: str, purpose: str, remedy: str) -> Finding:
    from seatrial_runner.condition.doctor import Finding

    path = shutil.which(name)
    if path:
        return Finding(name, "ok", path)
    return Finding(name, "note", f"not found on PATH; needed {purpose}", remedy)


def _ssh_agent() -> Finding:
    from seatrial_runner.condition.doctor import Finding

    socket = os.environ.get("SSH_AUTH_SOCK", "")
    if socket and Path(socket).exists():
        return Finding("ssh", "ok", "SSH is built in; an agent holds keys")
    return Finding("ssh", "ok", "SSH is built in; no agent runs, so keys come from files")


def _folders() -> dict[str, Path]:
    home = Path.home()
    return {
        "cache": Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache") / "seatrial",
        "configuration": Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config") / "seatrial",
        "data": Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "seatrial",
    }


def _folder(name: str, path: Path) -> Finding:
    from seatrial_runner.condition.doctor import Finding
    from seatrial_targets.units import format_size

    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(name, "error", f"{path} can't be written", f"sudo chown -R $USER {there}")
    free = format_size(shutil.disk_usage(there).free)
    return Finding(name, "ok", f"{path}, {free} free" + ("" if path.exists() else " (made when first needed)"))


def _inventory() -> Finding:
    from seatrial_runner.condition.doctor import Finding
    from seatrial_targets.errors import SeatrialError
    from seatrial_targets.inventory import default_paths, load

    file = next((path for path in default_paths() if path.is_file()), None)
    if file is None:
        return Finding("inventory", "note", f"no {default_paths()[0]}: only this machine, `local`, can be measured on")
    try:
        return Finding("inventory", "ok", f"{file}: {', '.join(sorted(load(file).devices))}")
    except SeatrialError as error:
        return Finding("inventory", "error", str(error), f"edit {file}")


def _agents() -> Iterator[Finding]:
    from seatrial_runner.agent import native_agent
    from seatrial_runner.condition.doctor import Finding

    machines = [machine for machine in ("x86_64", "aarch64", "armv7l") if native_agent(machine)]
    if machines:
        yield Finding("agents", "ok", f"native for {', '.join(machines)}; in Python for others")
    else:
        yield Finding("agents", "warning", "no native agent; the one in Python costs more memory", "make agents")


def _libraries() -> Finding:
    from seatrial_runner.condition.doctor import Finding
    from seatrial_runner.libraries import installed, listed

    here = installed()
    known = [*listed(), *([here] if here else [])]
    found = sorted({f"{library.version} for {library.machine}" for library in known})
    if found:
        return Finding("runtime libraries", "ok", f"ONNX Runtime {', '.join(found)}")
    text = "none yet, and the Python package onnxruntime is not installed, whose library could be used"
    return Finding("runtime libraries", "note", text, f"seatrial runtimes fetch {platform.machine()}")
