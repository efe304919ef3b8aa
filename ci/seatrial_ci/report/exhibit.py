"""A piece of evidence: what it shows, in a sentence, as a chart and as a table; or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from seatrial_ci.report.chart import Bars, Chart

Cells = tuple[str, ...]


MOST_TEXT = 200  # characters of a cell: names come from files


def limited(rows: Sequence[Cells], most: int, what: str) -> tuple[tuple[Cells, ...], str]:
    """Return the first ``most`` rows, and what to say of the others: '12 more runs are in the trial'."""
    shown = tuple(
        tuple(cell if len(cell) <= MOST_TEXT else f"{cell[:MOST_TEXT]}…" for cell in row) for row in rows[:most]
    )
    return shown, f"{len(rows) - most} more {what} are in the trial" if len(rows) > most else ""


@dataclass(frozen=True)
class Exhibit:
    """``says`` is what it shows, ``reading`` how to read the chart; ``absent``: why the trial has nothing to show.

    The table holds the same data for those who don't see the chart, and for Markdown. ``left_out`` says which rows it
    lacks, if any.
    """

    key: str  # an anchor: "pairs", "runs", ...
    title: str
    says: str = ""
    reading: str = ""
    charts: tuple[Chart | Bars, ...] = ()
    head: Cells = ()
    rows: tuple[Cells, ...] = field(default=(), repr=False)
    left_out: str = ""
    absent: str = ""
