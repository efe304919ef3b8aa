"""seatrial runtimes: the libraries that are pushed to devices, kept here by hash."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .command import Group
from .options import FILE
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_runner.libraries import Library


@click.group(cls=Group)
def runtimes() -> None:
    """Runtime libraries (ONNX Runtime) that are pushed to devices."""


@runtimes.command("list")
@click.pass_obj
def list_(screen: Screen) -> None:
    """List the libraries that are in the cache."""
    from seatrial_runner.libraries import listed

    found = list(listed())
    screen.document([_json(library) for library in found])
    if found:
        _say(screen, found)
    else:
        screen.line("none yet; `seatrial runtimes fetch aarch64` gets one, `seatrial runtimes add` takes a file")


@runtimes.command()
@click.argument("machine")
@click.option("--version", metavar="X.Y.Z", help="Version of ONNX Runtime.  [default: the newest]")
@click.pass_obj
def fetch(screen: Screen, machine: str, version: str | None) -> None:
    """Get the library for MACHINE (`uname -m`: x86_64, aarch64) out of that platform's Python wheel, through pip."""
    from seatrial_runner.libraries import fetch as fetch_library

    _one(screen, fetch_library(machine, version))


@runtimes.command()
@click.argument("file", type=FILE)
@click.option("--machine", metavar="MACHINE", help="What `uname -m` says on the device.  [default: the file's]")
@click.option("--version", metavar="X.Y.Z", help="Version of the runtime.  [default: the file's]")
@click.pass_obj
def add(screen: Screen, file: Path, machine: str | None, version: str | None) -> None:
    """Take FILE, a libonnxruntime.so of your own, into the cache."""
    from seatrial_runner.libraries import add as add_library

    _one(screen, add_library(file, machine, version))


def _one(screen: Screen, library: Library) -> None:
    screen.document(_json(library))
    _say(screen, [library])


def _say(screen: Screen, found: list[Library]) -> None:
    rows = [(lib.machine, lib.version, lib.sha256[:16], lib.path) for lib in found]
    screen.table(("machine", "version", "sha256", "file"), rows)


def _json(library: Library) -> dict[str, Any]:
    return {
        "machine": library.machine,
        "version": library.version,
        "sha256": library.sha256,
        "path": str(library.path),
        "source": library.source,
    }
