"""What all commands share: `--json`, `--debug`, and the screen as their first argument."""

from __future__ import annotations

from typing import Any

import click

from seatrial_targets.errors import ModelError

from .failure import ReaderGoneError
from .screen import reserved


class Command(click.Command):
    """A command whose function gets a `Screen` (by `click.pass_obj`) and may return an exit code."""

    def __init__(self, *args: Any, **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.params += [
            click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document to stdout."),
            click.Option(["--debug"], is_flag=True, expose_value=False, help="Show where a defect happened."),
        ]

    def invoke(self, ctx: click.Context) -> Any:
        """Call the function; while it runs, stdout is reserved for it when JSON is wanted."""
        with reserved(ctx.params.pop("as_json")) as screen:
            ctx.obj = screen
            try:
                return super().invoke(ctx)
            except BrokenPipeError as error:
                raise ReaderGoneError from error
            except SystemExit as error:
                raise ModelError(f"the model's code called sys.exit({error.code!r}); let it raise instead") from error


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
