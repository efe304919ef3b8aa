"""The program `seatrial`: finds the command, turns its errors into words and an exit code.

Exit codes: 0 done (a gate: PASS), 1 FAIL, 2 wrong usage, 3 harness or device error (a gate: INVALID),
4 INCONCLUSIVE, 130 stopped by Ctrl-C, 143 by SIGTERM.

Nothing here, and nothing that `--help` reaches, may import more than click: a test counts the modules.
"""

from __future__ import annotations

import io
import sys
from importlib import import_module
from typing import Any, NamedTuple

import click

from seatrial.version import __version__

from .commands.failure import guarded
from .commands.signals import unwinding


class Entry(NamedTuple):
    """Where a command is, as "module:attribute", and its one line in the overview."""

    place: str
    summary: str


TABLE = {
    "analyze": Entry("seatrial.commands.analyze:analyze", "Look at a model layer by layer: which ones hurt in INT8"),
    "compress": Entry("seatrial.commands.compress:compress", "Compress a model by a recipe, as one .pt2"),
    "export": Entry("seatrial.commands.export:export", "Export a model for a target, as a bundle"),
    "lint": Entry("seatrial.commands.lint:lint", "Check an ONNX file by the rules of TensorRT"),
    "bench": Entry("seatrial.commands.bench:bench", "Measure bundles on a device"),
    "calibrate": Entry(
        "seatrial.commands.calibrate:calibrate", "Measure the noise of a device: a bundle beside itself"
    ),
    "gate": Entry("seatrial.commands.gate:gate", "Judge a bundle: PASS, FAIL, INCONCLUSIVE or INVALID"),
    "report": Entry("seatrial.commands.report:report", "Write reports of a recorded trial"),
    "history": Entry("seatrial.commands.history:history", "What earlier gates said"),
    "baseline": Entry("seatrial.commands.baseline:baseline", "Bundles that later ones are compared with"),
    "targets": Entry("seatrial.commands.targets:targets", "Device classes that models are exported for"),
    "devices": Entry("seatrial.commands.devices:devices", "The physical devices of your inventory"),
    "bundle": Entry("seatrial.commands.bundle:bundle", "Look into a bundle, verify it"),
    "runtimes": Entry("seatrial.commands.runtimes:runtimes", "Runtime libraries that are pushed to devices"),
    "doctor": Entry("seatrial.commands.doctor:doctor", "Check this machine"),
    "completion": Entry("seatrial.commands.completion:completion", "Print the completion script of a shell"),
}


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the work."""
        return list(TABLE)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command, or return None when there is none of that name."""
        if cmd_name not in TABLE:
            return None
        module, _, attribute = TABLE[cmd_name].place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that ``args`` begins with; suggest the nearest for a name that is not one."""
        if args and args[0] not in TABLE and not args[0].startswith("-"):
            from seatrial_targets.errors import UnknownNameError

            raise UnknownNameError("command", args[0], TABLE, "`seatrial --help` shows all")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the overview from the table, so that it imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in TABLE.items()])

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the program and leave by SystemExit; with ``standalone_mode=False`` return the exit code instead."""
        words = list((args[0] if args else extra.pop("args", None)) or [])
        if not args:
            words = words or sys.argv[1:]
        standalone = extra.pop("standalone_mode", True)
        extra.update(prog_name="seatrial", standalone_mode=False)
        with unwinding() as stopped_by:
            code = guarded(lambda: super(LazyGroup, self).main(words, **extra), words, stopped_by)
        if standalone:
            sys.exit(code)
        return code


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Start: `seatrial targets list`, then `seatrial export my_model.py:build --target x86-64-cpu-int8`, "
    "then `seatrial bench bundles/... --device local`. Every command takes --json.",
)
@click.version_option(__version__, prog_name="seatrial")
def cli() -> None:
    """Take a PyTorch model to a named device, measure it there, and let the numbers decide whether it ships."""


def main() -> None:
    """Entry point of the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that the terminal can't show must not end the program
    cli.main(sys.argv[1:])
