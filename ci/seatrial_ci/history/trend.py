"""The history of one figure as a person looks at it: points in time, where the level changed, and what else did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from seatrial_ci.history.figures import Point
from seatrial_ci.statistics.changepoints import ChangePoint, change_points

LEAST_RUNS = 5  # a median of fewer runs is too noisy to look for a level in (facts of measurement: at least 5)


@dataclass(frozen=True)
class Change:
    """Where a level changed: at ``point``, by ``shift`` (relative, 0.05 is +5 %), by chance with probability ``p``.

    ``unlike`` says what else changed there (runtime, system): then the model need not be the reason, and p is None.
    """

    point: Point
    shift: float
    p: float | None
    unlike: str = ""


@dataclass(frozen=True)
class Trend:
    """The points of one bundle's name and target on one device, oldest first, and where they changed."""

    device: str
    stamp: str
    candidate: str
    target: str
    points: tuple[Point, ...]
    changes: tuple[Change, ...]


def trends(points: Sequence[Point], alpha: float = 0.01) -> tuple[Trend, ...]:
    """Return a trend for each device and bundle among ``points`` (oldest first). Advisory: no verdict rests on it.

    Levels are looked for only among points of at least 5 runs, and within spans in which runtime, system and threads
    stayed the same; between two such spans the shift is told, but not called the model's.
    """

    def key(point: Point) -> tuple[str, str, str, str]:
        return point.device, point.stamp, point.candidate, point.target

    ordered = sorted(points, key=lambda point: (*key(point), point.unix_ns))
    return tuple(_trend(*names, tuple(group), alpha) for names, group in groupby(ordered, key))


def _trend(device: str, stamp: str, candidate: str, target: str, points: tuple[Point, ...], alpha: float) -> Trend:
    usable = [point for point in points if point.runs >= LEAST_RUNS and point.value > 0]
    spans = [list(span) for _, span in groupby(usable, lambda point: point.likeness)]
    changes = [change for span in spans for change in _within(span, alpha)]
    changes += [_between(one, other) for one, other in pairwise(spans)]
    changes.sort(key=lambda change: change.point.unix_ns)
    return Trend(device, stamp, candidate, target, points, tuple(changes))


def _within(span: Sequence[Point], alpha: float) -> list[Change]:
    found: tuple[ChangePoint, ...] = change_points([point.value for point in span], alpha)
    return [Change(span[each.index], math.expm1(each.shift), each.p) for each in found]


def _between(one: Sequence[Point], other: Sequence[Point]) -> Change:
    shift = _level(other) / _level(one) - 1
    return Change(other[0], shift, None, _difference(one[-1].likeness, other[0].likeness))


def _level(span: Sequence[Point]) -> float:
    values = sorted(point.value for point in span)
    middle = len(values) // 2
    return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2


def _difference(one: str, other: str) -> str:
    old, new = one.split(" | "), other.split(" | ")
    if len(old) != len(new):
        return f"{one} -> {other}"
    return ", ".join(f"{a or 'unknown'} -> {b or 'unknown'}" for a, b in zip(old, new, strict=True) if a != b)
