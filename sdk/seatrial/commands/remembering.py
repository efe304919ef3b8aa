"""The history as commands use it: asked before a gate, told after it. One that fails changes no verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from seatrial_targets.errors import SeatrialError

from .screen import Screen

if TYPE_CHECKING:
    from seatrial_ci.history import History
    from seatrial_ci.judgement import Judgement
    from seatrial_runner.records import Trial

F = TypeVar("F", bound=Callable[..., Any])
PLACE = "SQLAlchemy URL or file of the history.  [default: $SEATRIAL_HISTORY, else SQLite of the user]"


@dataclass(frozen=True)
class Memory:
    """Which history a command uses, if any, and under what labels trials are kept in it."""

    url: str | None
    off: bool
    labels: tuple[str, ...]

    @contextmanager
    def asked(self, screen: Screen) -> Iterator[History | None]:
        """Yield the history to look things up in; None, with a warning, where it can't be opened."""
        from seatrial_ci import history

        found = None
        if not self.off:
            try:
                found = history.History.open(self.url)
            except SeatrialError as error:
                screen.note(f"warning: the history is not asked: {error}")
        try:
            yield found
        finally:
            if found is not None:
                found.close()

    def checked(self) -> dict[str, str]:
        """Return the labels of the command line. Raises UserError for what is none, before anything is measured."""
        if not self.labels:
            return {}  # without a database's whole package, which a verdict on a file does not need
        from seatrial_ci.history.labels import parse_labels

        return parse_labels(self.labels)

    def keep(self, screen: Screen, judgements: Sequence[Judgement], others: Iterable[Trial] = ()) -> None:
        """Keep verdicts and trials; ``others`` are trials without a verdict of their own."""
        from seatrial_ci import history
        from seatrial_ci.history.labels import labels_of_environment

        if self.off:
            return
        labels = {**labels_of_environment(), **self.checked()}
        try:
            with history.History.open(self.url) as kept:
                for judgement in judgements:
                    if judgement.trial is not None:
                        kept.add(judgement.trial, judgement.verdict, labels)
                for trial in others:
                    kept.add(trial, labels=labels)
        except SeatrialError as error:
            screen.note(f"warning: the verdict is not in the history: {error}")


def memory_options(command: F) -> F:
    """Add `--history`, `--no-history` and `--label`; see `memory_of`."""
    options = (
        click.option("--history", "history_url", metavar="URL", help=PLACE),
        click.option("--no-history", is_flag=True, help="Do not ask the history, nor remember this in it."),
        click.option(
            "--label",
            "labels",
            multiple=True,
            metavar="KEY=VALUE",
            help="Label in the history, such as release=1.2.  [default: commit, branch, tag by CI or git]",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def memory_of(rest: dict[str, Any]) -> Memory:
    """Take the options of `memory_options` out of ``rest``. Raises UserError for a label that is none."""
    memory = Memory(rest.pop("history_url"), rest.pop("no_history"), rest.pop("labels"))
    memory.checked()
    return memory
