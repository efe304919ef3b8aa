"""The table of a compression: a row for the original and one for each step, then what the steps have to say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .screen import Screen

if TYPE_CHECKING:
    from seatrial.compression.record import Figures, Latency, Record, StepReport

COLUMNS = ("step", "size", "parameters", "zeros", "MACs", "SQNR", "agreement")


def say_record(screen: Screen, record: Record) -> None:
    """Print the figures before the first step and after each, then every note and what was not measured."""
    stages = [("original", record.original, "")]
    stages += [(f"{step.index + 1} {step.kind}", step.after, _cost(step)) for step in record.steps]
    metrics = sorted({name for _, figures, _ in stages for name in figures.metrics})
    heads = [f"p50 {each.target}" for each in record.original.latency]
    rows = [[name, *_cells(figures, metrics), cost] for name, figures, cost in stages]
    screen.table([*COLUMNS, *metrics, *heads, "took"], rows, whole=1)
    for step in record.steps:
        for note in step.notes:
            screen.line(f"note: {step.index + 1} {step.kind}: {note}")
    for text in record.remarks:
        screen.line(f"note: {text}")
    for name, figures, _ in stages:
        for each in figures.latency:
            _say_absent(screen, name, each)


def _cells(figures: Figures, metrics: Sequence[str]) -> list[str]:
    from seatrial_targets.units import format_size

    quality = figures.quality
    return [
        format_size(figures.size_bytes),
        f"{figures.parameters:,}",
        f"{figures.zeros / max(1, figures.parameters) * 100:.0f} %",
        f"{figures.macs / 1e6:,.1f} M",
        f"{quality['sqnr_db']:.1f} dB" if "sqnr_db" in quality else "-",
        f"{quality['top1_agreement'] * 100:.1f} %" if "top1_agreement" in quality else "-",
        *(f"{figures.metrics[name]:.4g}" if name in figures.metrics else "-" for name in metrics),
        *map(_latency_text, figures.latency),
    ]


def _latency_text(latency: Latency) -> str:
    from seatrial_ci.gate.wording import between, show

    if latency.p50_ns is None:
        return "-"
    value = show(latency.p50_ns, "ns")
    if latency.low_ns is None or latency.high_ns is None:
        return f"{value} (one run)"
    return f"{value} ({between(latency.low_ns, latency.high_ns, 'ns')})"


def _say_absent(screen: Screen, stage: str, latency: Latency) -> None:
    if latency.reason:
        screen.line(f"not measured: {stage}: latency as {latency.target} on {latency.device}: {latency.reason}")
    if latency.stamp:
        screen.line(f"note: {stage}: measured on {latency.stamp}; times say nothing about real hardware")


def _cost(step: StepReport) -> str:
    from seatrial_targets.units import format_size

    return f"{step.seconds:.1f} s, {format_size(step.peak_memory_bytes)}"
