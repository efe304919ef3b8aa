"""The table of what was measured: metrics down, bundles across, each figure with its interval or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from .screen import Screen

if TYPE_CHECKING:
    from seatrial_ci.summary import BundleFigures, Figure, Summary

Row = tuple[str, Callable[["BundleFigures"], str]]

SELDOM = ("latency p99", "accuracy", "energy, idling included")  # rows that are shown when there is something in them


def say_summaries(screen: Screen, summaries: Sequence[Summary]) -> None:
    """Print one table of all bundles of ``summaries``, then why figures are absent."""
    bundles = [(summary, bundle) for summary in summaries for bundle in summary.bundles]
    heads = [_head(bundle) for _, bundle in bundles]
    rows = [[name, *(cell(bundle) for _, bundle in bundles)] for name, cell in _rows(any_energy(summaries))]
    rows = [row for row in rows if row[0] not in SELDOM or set(row[1:]) != {"-"}]
    screen.table(["", *heads], rows, title=_title(summaries))
    for text in dict.fromkeys(doubt for _, bundle in bundles for doubt in bundle.energy_doubts):
        screen.line(f"energy is uncertain: {text}")
    for text in _absences([bundle for _, bundle in bundles]):
        screen.line(f"not measured: {text}")
    for stamp in dict.fromkeys(summary.stamp for summary in summaries if summary.stamp):
        screen.line(f"note: measured on {stamp}; times say nothing about real hardware")


def figure_text(figure: Figure) -> str:
    """Return '4.31 ms (4.28 to 4.35 ms)', or '-' for what was not measured."""
    from seatrial_ci.gate.wording import between, show

    if figure.value is None:
        return "-"
    value = show(figure.value, figure.unit)
    if figure.low is None or figure.high is None:
        return f"{value} (one run)"
    within = ", one run" if figure.within_run else ""
    return f"{value} ({between(figure.low, figure.high, figure.unit)}{within})"


def any_energy(summaries: Iterable[Summary]) -> str:
    """Return the meter that energy was read from, or an empty string."""
    return next((summary.meter for summary in summaries if summary.meter), "")


def _rows(meter: str) -> list[Row]:
    from seatrial_ci.stated import accuracy_text, parity_text
    from seatrial_targets.units import format_size

    return [
        ("size", lambda b: format_size(b.size_bytes)),
        ("latency p50", lambda b: figure_text(b.latency["p50"])),
        ("latency p90", lambda b: figure_text(b.latency["p90"])),
        ("latency p99", lambda b: figure_text(b.latency["p99"])),
        ("cold load", lambda b: figure_text(b.cold_load)),
        ("peak memory", lambda b: figure_text(b.peak_memory)),
        (f"energy per inference{f' by {meter}' if meter else ''}", lambda b: figure_text(b.energy)),
        ("energy, idling included", lambda b: figure_text(b.energy_gross)),
        ("parity with torch", lambda b: parity_text(b.parity, brief=True)),
        ("accuracy", lambda b: accuracy_text(b.accuracy, "-")),
    ]


def _head(bundle: BundleFigures) -> str:
    role = "" if bundle.role == "candidate" else f" ({bundle.role})"
    return f"{bundle.name}, {bundle.precision}{role}"


def _title(summaries: Sequence[Summary]) -> str:
    devices = ", ".join(dict.fromkeys(summary.device for summary in summaries))
    return f"On {devices}; in brackets the 95 % interval over runs"


def _absences(bundles: Sequence[BundleFigures]) -> list[str]:
    found: dict[str, str] = {}
    for bundle in reversed(bundles):
        figures = {f"latency {key}": figure for key, figure in bundle.latency.items()}
        figures |= {"cold load": bundle.cold_load, "peak memory": bundle.peak_memory, "energy": bundle.energy}
        found |= {name: figure.reason for name, figure in figures.items() if figure.reason and name not in SELDOM}
    return [f"{name}: {reason}" for name, reason in found.items()]
