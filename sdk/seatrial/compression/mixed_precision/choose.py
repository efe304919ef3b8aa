"""The choice, as arithmetic: in which order layers are kept in float, and which point of the curve is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Layer:
    """A layer that may stay in float. ``noise``: what quantizing it alone costs in quality, at least 0. ``cost``: what
    keeping it in float costs in time, as a part of the all-INT8 model's."""

    path: str
    noise: float
    cost: float


@dataclass(frozen=True)
class Point:
    """One assignment: the layers in float, the quality that was measured with it (more is better), its latency as a
    multiple of the all-INT8 model's, and whether that was measured."""

    float_layers: tuple[str, ...]
    quality: float
    latency: float
    measured: bool
    low: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the point as plain JSON values."""
        return {**asdict(self), "float_layers": list(self.float_layers)}


def order(layers: Sequence[Layer]) -> list[str]:
    """Return the paths by noise for each part of time, the best bargain first; a layer that costs nothing comes first.

    >>> order([Layer("a", 1.0, 0.5), Layer("b", 1.0, 0.1), Layer("c", 3.0, 0.0)])
    ['c', 'b', 'a']
    """
    ranked = sorted(layers, key=lambda each: (-each.noise / max(each.cost, 1e-4), each.path))
    return [each.path for each in ranked if each.noise > 0]


def front(points: Sequence[Point]) -> list[Point]:
    """Return the points that no other beats in both quality and latency, the fastest first."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda each: (each.latency, -each.quality)):
        if not kept or point.quality > kept[-1].quality:
            kept.append(point)
    return kept


def pays(point: Point, float_latency: float | None) -> bool:
    """Whether a mixed model has a reason to be: it is faster than the model in floating point."""
    return float_latency is None or point.latency < float_latency


def choose(
    points: Sequence[Point],
    *,
    least_quality: float | None = None,
    most_latency: float | None = None,
    float_latency: float | None = None,
) -> tuple[Point | None, str]:
    """Return the point to take, or None, and why.

    ``points`` hold the all-INT8 model as the one without float layers; its latency is 1. ``most_latency`` is a
    multiple of it. Without a target, layers are added while each brings at least its share: the knee of the curve.
    """
    usable = [each for each in front(points) if pays(each, float_latency) or not each.float_layers]
    if least_quality is not None:
        meeting = [each for each in usable if each.quality >= least_quality]
        best = max(points, key=lambda each: each.quality)
        if not meeting:
            return None, f"no assignment reaches {least_quality:.4g}; the best one measured has {best.quality:.4g}"
        return meeting[0], f"the fastest of {len(meeting)} assignments that reach {least_quality:.4g}"
    if most_latency is not None:
        within = [each for each in usable if each.latency <= most_latency]
        if not within:
            return None, f"no assignment is within {most_latency:.3g} times the all-INT8 model's latency"
        return within[-1], f"the best of {len(within)} assignments within {most_latency:.3g} times all-INT8"
    return knee(usable), "the last assignment whose float layers bring more than their share of time"


def knee(points: Sequence[Point]) -> Point:
    """Return the point farthest above the line from the first to the last of a front.

    >>> knee([Point((), 0.0, 1.0, True), Point(("a",), 9.0, 1.1, True), Point(("a", "b"), 10.0, 2.0, True)]).latency
    1.1
    """
    first, last = points[0], points[-1]
    width, height = last.latency - first.latency, last.quality - first.quality
    if width <= 0 or height <= 0:
        return last

    def above(point: Point) -> float:
        return (point.quality - first.quality) / height - (point.latency - first.latency) / width

    return max(reversed(points), key=above)  # of equals the one with more quality


def shares(macs: Mapping[str, int], ratio: float) -> dict[str, float]:
    """Return what float costs for each layer, as a part of the all-INT8 model's time, if time went by arithmetic alone
    and floating point took ``ratio`` times as long: an estimate, for where nothing can be measured.

    >>> shares({"a": 3, "b": 1}, 3.0)
    {'a': 1.5, 'b': 0.5}
    """
    total = sum(macs.values()) or 1
    return {path: (ratio - 1.0) * count / total for path, count in macs.items()}
