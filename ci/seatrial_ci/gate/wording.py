"""Numbers as people read them, in their unit."""

from __future__ import annotations

import math

from seatrial_ci.gate.verdict import Unit
from seatrial_targets.units import DURATION_NS, ENERGY_NJ, SIZE_BYTES, format_duration, format_energy, format_size

FACTORS = {**DURATION_NS, **SIZE_BYTES, **{unit: nj / ENERGY_NJ["mJ"] for unit, nj in ENERGY_NJ.items()}}
LABELS = {"parity_sqnr": "parity SQNR", "top1_agreement": "top-1 agreement"}


def label(metric: str) -> str:
    """Return a metric's key as words: 'latency p90'. The names of accuracies are the user's own."""
    return LABELS.get(metric) or (metric if metric.startswith("accuracy ") else metric.replace("_", " "))


def show(value: float | None, unit: Unit) -> str:
    """Return a measured ``value`` with its unit: '4.31 ms', '5.1 MB', '+2.41 %'; '-' for None."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "unbounded" if value > 0 else str(value)
    if unit == "relative":
        return _relative(value, value)
    if unit == "ratio":
        return f"{value * 100:.1f} %"
    if unit == "dB":
        return f"{value:.1f} dB"
    if unit in ("per s", "points"):
        return f"{value:.4g} {unit}"
    shown = {"ns": format_duration, "bytes": format_size, "mJ": format_energy}.get(unit)
    return shown(value) if shown else f"{value:.4g}"


def exact(value: float | None, unit: Unit) -> str:
    """Return a limit as a person wrote it, no digit added and none dropped: '3 s', '+5 %', '12.25 ms'."""
    if value is None:
        return "-"
    if unit in ("relative", "ratio"):
        return f"{value * 100:{'+' if unit == 'relative' else ''}g} %"
    if unit in ("per s", "points"):
        return f"{value:.9g} {unit}"
    _, _, suffix = show(value, unit).rpartition(" ")
    return f"{value / FACTORS.get(suffix, 1):.9g} {suffix if unit else ''}".rstrip()


def between(low: float | None, high: float | None, unit: Unit) -> str:
    """Return '4.28 to 4.35 ms'; empty when there are no bounds."""
    if low is None or high is None:
        return ""
    if unit == "relative" and math.isfinite(low) and math.isfinite(high):
        widest = max(abs(low), abs(high))
        return f"{_relative(low, widest).removesuffix(' %')} to {_relative(high, widest)}"
    first, last = show(low, unit), show(high, unit)
    number, _, suffix = first.rpartition(" ")
    return f"{number if number and last.endswith(f' {suffix}') else first} to {last}"


def _relative(value: float, widest: float) -> str:
    """Return 0.0124 as '+1.24 %', with fewer decimals the greater ``widest`` is."""
    places = 0 if abs(widest) >= 1 else 1 if abs(widest) >= 0.1 else 2
    return f"{value * 100:+.{places}f} %"


def noise(sd: float) -> str:
    """Return a standard deviation on the log scale as '1.5 %': two digits, it is of few runs."""
    percent = sd * 100
    return f"{percent:.{0 if percent >= 10 else 1 if percent >= 1 else 2}f} %"
