"""Where a command's words go: tables and lines on stdout, or one JSON document there, and notes on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TextIO

from .failure import clean, coloured

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PLAIN_WIDTH = 500  # columns of a table that goes to a file: wide enough that nothing is folded
COLOURS = {
    "PASS": "bold green",
    "FAIL": "bold red",
    "INVALID": "bold magenta",
    "INCONCLUSIVE": "bold yellow",
    "ok": "green",
    "note": "cyan",
    "warning": "yellow",
    "error": "red",
}


@dataclass
class Screen:
    """Says what a command has to say. With ``as_json`` only `document` writes to ``stream``."""

    as_json: bool = False
    stream: TextIO = field(default_factory=lambda: sys.stdout)

    def line(self, text: object = "") -> None:
        """Print one line, or several, for people."""
        if not self.as_json:
            print(clean(text), file=self.stream)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "", whole: int = 0) -> None:
        """Print a table for people. All texts are shown as they are: no markup, no control characters.

        On a narrow terminal the first ``whole`` columns stay as they are, and the others are broken over lines.
        """
        if self.as_json:
            return
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(title=clean(title) or None, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False)
        table.padding = (0, 1, 0, 0)
        table.show_header = any(columns)
        for index, column in enumerate(columns):
            table.add_column(clean(column), overflow="fold", no_wrap=index < whole)
        for row in rows:
            cells = [clean(cell) for cell in row]
            table.add_row(*(Text(cell, style=COLOURS.get(cell, "")) for cell in cells))
        self._print(table)

    def outcome(self, word: str, text: str) -> None:
        """Print a verdict's line, the word in its colour on a terminal."""
        colour = {"PASS": 32, "FAIL": 31, "INVALID": 35, "INCONCLUSIVE": 33}.get(word, 0)
        shown = f"\x1b[1;{colour}m{word}\x1b[0m" if coloured(self.stream) else word
        if not self.as_json:
            print(f"{shown}: {clean(text)}", file=self.stream)

    def document(self, value: Any) -> None:
        """Print ``value`` as the one JSON document, when that was asked for."""
        if self.as_json:
            print(json.dumps(value, indent=1, allow_nan=False), file=self.stream, flush=True)

    def note(self, text: object) -> None:
        """Print a line for people to stderr, whatever goes to stdout."""
        print(clean(text), file=sys.stderr)

    def _print(self, table: Table) -> None:
        console = self._console()
        with console.capture() as captured:
            console.print(table)
        print("\n".join(line.rstrip() for line in captured.get().splitlines()), file=self.stream)

    def _console(self) -> Console:
        from rich.console import Console

        return Console(
            file=self.stream,
            width=None if self.stream.isatty() else PLAIN_WIDTH,
            no_color=not coloured(self.stream),
            markup=False,
            emoji=False,
            highlight=False,
        )


@contextmanager
def reserved(as_json: bool) -> Iterator[Screen]:
    """Yield the screen. With ``as_json``, whatever else prints (a model's code, pip) goes to stderr meanwhile."""
    if not as_json:
        yield Screen()
        return
    sys.stdout.flush()
    with _own_stdout() as stream:
        python_level, sys.stdout = sys.stdout, sys.stderr
        try:
            yield Screen(True, stream)
        finally:
            sys.stdout = python_level


@contextmanager
def _own_stdout() -> Iterator[TextIO]:
    """Yield a stream to the real standard output and let file descriptor 1 mean standard error, for C code."""
    real = _descriptor(sys.stdout)
    if real != 1 or _descriptor(sys.stderr) is None:
        yield sys.stdout
        return
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(kept, "w", encoding="utf-8", closefd=False) as stream:
            yield stream
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None
