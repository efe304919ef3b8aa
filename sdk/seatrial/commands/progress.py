"""A progress bar on a terminal, with the time that is left; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .failure import clean, coloured

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from seatrial_runner.plan import Event, OnEvent


@contextmanager
def shown() -> Iterator[OnEvent]:
    """Yield what takes events; it draws them while the block runs if stderr is a terminal."""
    if not sys.stderr.isatty():
        yield lambda event: None
        return
    with _bars() as bars:
        yield Stages(bars).take


@contextmanager
def shown_steps() -> Iterator[Callable[..., None]]:
    """Yield what takes a stage's name, optionally how far it is and of how much: for work that sends no events."""
    with shown() as take:
        yield lambda stage, done=0, total=0: take(_event(stage, done, total))


class Stages:
    """One line per stage; the earlier one is finished when the next begins."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._stage = ""
        self._task: TaskID | None = None

    def take(self, event: Event) -> None:
        """Draw one event."""
        if event.stage != self._stage or self._task is None:
            self._finish()
            self._stage = event.stage
            self._task = self._bars.add_task(clean(event.stage), total=event.total or None, count="")
        count = _count(event)
        self._bars.update(self._task, completed=event.done, total=event.total or None, count=count)

    def _finish(self) -> None:
        if self._task is not None:
            self._bars.update(self._task, visible=False)


def _event(stage: str, done: int, total: int) -> Event:
    from seatrial_runner.plan import Event

    return Event(stage, done, total)


def _count(event: Event) -> str:
    return " ".join(filter(None, (_amount(event), event.note and f"({clean(event.note)})")))


def _amount(event: Event) -> str:
    if not event.total:
        return ""
    if event.unit == "seconds":
        return f"{event.done} of {event.total} s"
    if event.unit == "bytes":
        from seatrial_targets.units import format_size

        return f"{format_size(event.done)} of {format_size(event.total)}"
    return f"{event.done} of {event.total}"


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, no_color=not coloured(sys.stderr), markup=False, emoji=False, highlight=False)
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[count]}", markup=False),
        TimeRemainingColumn(compact=True),
        console=console,
        transient=True,
    )
