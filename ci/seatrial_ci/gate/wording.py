"""Numbers as people read them, in their unit."""

from __future__ import annotations

import math

from seatrial_ci.gate.verdict import Unit
from seatrial_targets.units import format_duration, format_energy, format_size


def show(value: float | None, unit: Unit) -> str:
    """Return ``value`` with its unit: '4.31 ms', '5.1 MB', '+2.4 %'; '-' for None."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "unbounded" if value > 0 else str(value)
    if unit == "relative":
        return f"{value * 100:+.2f} %"
    if unit == "ratio":
        return f"{value * 100:.2f} %"
    if unit == "dB":
        return f"{value:.1f} dB"
    shown = {"ns": format_duration, "bytes": format_size, "mJ": format_energy}.get(unit)
    return shown(value) if shown else f"{value:.4g}"


def between(low: float | None, high: float | None, unit: Unit) -> str:
    """Return 'low to high' with units; empty when there are no bounds."""
    return "" if low is None or high is None else f"{show(low, unit)} to {show(high, unit)}"
