"""Axes: round places for their ticks, and numbers written with just the digits that tell one tick from the next.

`templates/report.js` does the same in the browser once a reader zooms; a test holds the two against each other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

AxisUnit = Literal["ns", "bytes", "relative", "share", "s", "min", "W", "°C", "MHz", ""]
# Of each unit the steps that its numbers are shown in, greatest first: (how many, name).
STEPS: Mapping[AxisUnit, tuple[tuple[float, str], ...]] = {
    "ns": ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1, "ns")),
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B")),
    "relative": ((0.01, "%"),),
    "share": ((0.01, "%"),),
    "s": ((1, "s"),),
    "min": ((1, "min"),),
    "W": ((1, "W"), (1e-3, "mW")),
    "°C": ((1, "°C"),),
    "MHz": ((1e3, "GHz"), (1, "MHz")),
    "": ((1, ""),),
}
MOST_PLACES = 9


@dataclass(frozen=True)
class Axis:
    """The stretch of values that an axis shows, in ``unit``; ``whole`` keeps ticks at whole numbers."""

    low: float
    high: float
    unit: AxisUnit
    label: str
    whole: bool = False

    @property
    def ticks(self) -> tuple[tuple[float, str], ...]:
        """Places of the ticks, with what is written there."""
        found = ticks(self.low, self.high, whole=self.whole)
        step = found[1] - found[0] if len(found) > 1 else abs(self.high - self.low) or 1.0
        largest = max(abs(self.low), abs(self.high))
        return tuple((value, written(value, self.unit, step, largest)) for value in found)

    def place(self, value: float) -> float:
        """Return where ``value`` lies: 0 at the low end, 1 at the high one."""
        return (value - self.low) / ((self.high - self.low) or 1.0)


def around(values: list[float], unit: AxisUnit, label: str, *, zero: bool = False) -> Axis:
    """Return an axis that holds all of ``values`` with a margin; ``zero`` makes it start at 0."""
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    pad = 0.08 * (high - low) or abs(high) * 0.01 or 1.0
    return Axis(0.0, high + (0.1 * abs(high) or 1.0), unit, label) if zero else Axis(low - pad, high + pad, unit, label)


def ticks(low: float, high: float, count: int = 6, whole: bool = False) -> list[float]:
    """Return about ``count`` round values within [low, high].

    >>> ticks(0, 10, 5)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    raw = span / count
    size = 10 ** math.floor(math.log10(raw))
    step = next((size * m for m in (1, 2, 5) if size * m >= raw), size * 10)
    step = max(step, 1.0) if whole else step
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)] or [low]


def written(value: float, unit: AxisUnit, step: float, largest: float) -> str:
    """Return ``value`` as a tick is labelled: '10.25 ms' where ticks are 0.05 ms apart.

    >>> written(10_250_000, "ns", 50_000, 11_000_000)
    '10.25 ms'
    """
    steps = STEPS[unit]
    size, name = next((each for each in steps if largest >= each[0]), steps[-1])
    exponent = math.floor(math.log10(step) - math.log10(size) + 1e-9) if step > 0 else 0
    places = min(MOST_PLACES, max(0, -exponent))
    number = value / size
    text = f"{number:+.{places}f}" if unit == "relative" and round(number, places) else f"{abs(number):.{places}f}"
    sign = "-" if number < 0 and unit != "relative" and round(number, places) else ""
    return f"{sign}{text} {name}".rstrip()
