"""What a chart shows, in the values that were measured. `drawing` makes places on a page of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from seatrial_ci.report.axes import Axis

Group = str  # a class name of the style sheet: "candidate", "baseline", "used", ...


@dataclass(frozen=True)
class Mark:
    """A point with what it says. ``span`` is its interval along ``axis``; ``beyond``: it lies off the chart, above.

    ``name`` is written beside it, for charts of few points.
    """

    x: float
    y: float
    group: Group
    text: str
    span: tuple[float, float] | None = None
    axis: Literal["x", "y"] = "x"
    beyond: bool = False
    name: str = ""


@dataclass(frozen=True)
class Line:
    """A line through shape (n,) points; an infinite or missing one (NaN) breaks it. ``steps``: as a staircase."""

    group: Group
    x: Sequence[float]
    y: Sequence[float]
    steps: bool = False


@dataclass(frozen=True)
class Band:
    """A shaded stretch of an axis, with its label."""

    low: float
    high: float
    group: Group
    label: str = ""
    axis: Literal["x", "y"] = "y"


@dataclass(frozen=True)
class Rule:
    """A line across the chart at a value of an axis, with its label."""

    at: float
    group: Group
    label: str
    axis: Literal["x", "y"] = "y"


@dataclass(frozen=True)
class Chart:
    """``legend`` says what each group is. Charts of the same ``link`` zoom along x together."""

    x: Axis
    y: Axis
    marks: tuple[Mark, ...] = ()
    lines: tuple[Line, ...] = ()
    bands: tuple[Band, ...] = ()
    rules: tuple[Rule, ...] = ()
    legend: tuple[tuple[Group, str], ...] = ()
    link: str = ""
    height: float = 280.0


@dataclass(frozen=True)
class Bar:
    """A length from 0 to 1, what it is of, and what is written beside it."""

    label: str
    share: float
    value: str
    group: Group


@dataclass(frozen=True)
class Bars:
    """Horizontal bars, the longest first."""

    bars: tuple[Bar, ...]
    legend: tuple[tuple[Group, str], ...] = ()


def kept(values: ArrayLike, most: int) -> list[int]:
    """Return at most ``most`` places (and the ends) of a series to draw: of each stretch its least and greatest.

    All of them when there are no more than ``most``. No extreme is ever left out, and the order stays.

    >>> kept([0, 5, 1, 2, 9, 3, 3, 3], 4)
    [0, 1, 3, 4, 7]
    """
    x = np.asarray(values, dtype=np.float64)
    if x.size <= most:
        return list(range(x.size))
    edges = np.linspace(0, x.size, max(1, most // 2) + 1).astype(int)
    chosen = {0, x.size - 1}
    for begin, end in pairwise(edges):
        if end > begin:
            chosen |= {int(begin + np.argmin(x[begin:end])), int(begin + np.argmax(x[begin:end]))}
    return sorted(chosen)
