"""The choice, as arithmetic: in which order layers leave INT8, and which point of the curve is taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["fp16", "fp32"]
LEAST_COST = 1e-4  # of all time; below it a layer counts as free


@dataclass(frozen=True)
class Layer:
    """A layer that may leave INT8. ``noise``: what quantizing it alone costs in quality, at least 0. ``cost``: what
    keeping it in float32 costs in time, as a part of the all-INT8 model's. ``half_noise`` and ``half_cost``: what is
    lost, and what it costs, when it is computed in float16; None where that is not to be had."""

    path: str
    noise: float
    cost: float
    half_noise: float | None = None
    half_cost: float | None = None


@dataclass(frozen=True)
class Change:
    """A layer that leaves INT8, and what for."""

    path: str
    level: Level


@dataclass(frozen=True)
class Point:
    """One assignment: the layers in float32 and in float16, the quality that was measured with it (more is better), its
    latency as a multiple of the all-INT8 model's, and whether that was measured."""

    float_layers: tuple[str, ...]
    quality: float
    latency: float
    measured: bool
    low: float | None = None
    high: float | None = None
    half_layers: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """True for the all-INT8 model."""
        return not self.float_layers and not self.half_layers

    def as_json(self) -> dict[str, Any]:
        """Return the point as plain JSON values."""
        return {**asdict(self), "float_layers": list(self.float_layers), "half_layers": list(self.half_layers)}


def order(layers: Sequence[Layer]) -> list[Change]:
    """Return changes by what they gain for each part of time, the best bargain first; one that costs nothing is first.

    A layer goes to float16 first and to float32 later, or to float32 at once where that is the better bargain: the
    greedy way through a knapsack of choices (Sinha and Zoltners, 1979).

    >>> [each.path for each in order([Layer("a", 1.0, 0.5), Layer("b", 1.0, 0.1), Layer("c", 3.0, 0.0)])]
    ['c', 'b', 'a']
    >>> order([Layer("a", 1.0, 0.5, 0.25, 0.25)])
    [Change(path='a', level='fp16'), Change(path='a', level='fp32')]
    """
    bargains = [each for layer in layers for each in _bargains(layer)]
    ranked = sorted(bargains, key=lambda each: (-each[0], each[1].path))
    return [change for bargain, change in ranked if bargain > 0]


def _bargains(layer: Layer) -> list[tuple[float, Change]]:
    """What each change of a layer gains for its time."""
    single = Change(layer.path, "fp32")
    if layer.half_noise is None or layer.half_cost is None or layer.half_cost >= layer.cost:
        return [(_bargain(layer.noise, layer.cost), single)]
    half = _bargain(layer.noise - layer.half_noise, layer.half_cost)
    rest = _bargain(layer.half_noise, layer.cost - layer.half_cost)
    if rest >= half:
        return [(_bargain(layer.noise, layer.cost), single)]
    return [(half, Change(layer.path, "fp16")), (rest, single)]


def _bargain(gain: float, cost: float) -> float:
    return gain / max(cost, LEAST_COST)


def assigned(changes: Sequence[Change]) -> dict[str, Level]:
    """Return what each layer is after all changes.

    >>> assigned([Change("a", "fp16"), Change("b", "fp32"), Change("a", "fp32")])
    {'a': 'fp32', 'b': 'fp32'}
    """
    return {change.path: change.level for change in changes}


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
    usable = [each for each in front(points) if pays(each, float_latency) or each.plain]
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
