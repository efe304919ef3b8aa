"""The search: what layers lose and cost, a curve of real variants, and the point on it that meets the target."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import UserError

from ..quantization.ptq import QuantizeStep, kept_layers
from ..quantization.settings import Quantize
from ..state import CompressionState, Tensors
from .choose import Change, Layer, Level, Point, assigned, choose, order, shares
from .cost import Comparison, Relative
from .sensitivity import Judge, half_noise, layer_noise, macs_of_layers
from .settings import MixedPrecision

if TYPE_CHECKING:
    from torch import nn

    from seatrial_targets.profile import TargetProfile

FLOAT_TO_INT8 = 3.0  # how much longer a convolution takes in float32 than in INT8, on x86-64 with VNNI (RESULTS.md)
HALF_TO_INT8 = FLOAT_TO_INT8 / 2  # where a CPU computes in float16, as many bits hold twice as many numbers
NAMES: Mapping[Level, str] = {"fp32": "float32", "fp16": "float16"}
LEAST_SAMPLES = 8  # below that, none can be set aside to judge by
Assignment = Mapping[str, Level]
"""What layers are that are not INT8, by path."""


def assignment(single: Sequence[str], half: Sequence[str]) -> Assignment:
    """Return the assignment with these layers in float32 and those in float16."""
    return {**dict.fromkeys(single, "fp32"), **dict.fromkeys(half, "fp16")}


def plain(settings: MixedPrecision, levels: Assignment | None = None) -> Quantize:
    """Return the settings of `quantize` in those of mixed precision, with further layers in floating point."""
    fields = {name: getattr(settings, name) for name in Quantize.model_fields if name in settings.model_fields_set}
    single, half = at(levels or {}, "fp32"), at(levels or {}, "fp16")
    fields |= {"keep_float": (*settings.keep_float, *single), "keep_half": (*settings.keep_half, *half)}
    return Quantize(**fields)


def at(levels: Assignment, level: Level) -> tuple[str, ...]:
    """Return the layers of a level."""
    return tuple(path for path, each in levels.items() if each == level)


def half_wanted(settings: MixedPrecision, targets: Sequence[TargetProfile]) -> bool:
    """Return whether layers may be computed in float16: what ``half`` says, and "auto" means for the targets."""
    if settings.half != "auto":
        return bool(settings.half)
    return bool(targets) and all(_computes_in_half(each) for each in targets)


def _computes_in_half(target: TargetProfile) -> bool:
    from seatrial_targets import registry

    arm = target.device.architecture in ("aarch64", "arm64")
    sibling = target.name.replace("int8", "fp16")
    return arm and target.runtime.name == "onnxruntime" and sibling in registry.names()


class Search:
    """One search. Ranges come from most of the calibration samples; the rest, which set none, judge the variants."""

    def __init__(self, settings: MixedPrecision, state: CompressionState) -> None:
        self._settings, self._state = settings, state
        samples = state.samples("calibration")
        held = max(1, len(samples) // 4) if len(samples) >= LEAST_SAMPLES else 0
        self._ranging: list[Tensors] = samples[: len(samples) - held] if held else samples
        self._judging: list[Tensors] = samples[len(samples) - held :] if held else samples
        self.set_aside = held
        self._judge = Judge(state, settings.metric, self._judging)
        self._compared: dict[frozenset[tuple[str, Level]], Relative] = {}
        self._half = half_wanted(settings, state.targets)

    def run(self, comparison: Comparison | None) -> dict[str, Any]:
        """Return everything that was found, as plain JSON values; under "chosen" the layers that stay in float32, and
        under "chosen_half" those in float16."""
        noise = self._noise()
        # One layer at least stays to be quantized; the rest of the curve would be the float model.
        tried = sorted(noise, key=lambda path: -noise[path])[: min(self._settings.candidates, len(noise) - 1)]
        reference = self._begin(comparison)
        layers = self._layers(comparison, tried, noise)
        points = self._curve(comparison, order(layers), layers)
        return self._details(noise, layers, points, reference, comparison)

    def variant(self, levels: Assignment, everything: bool = False) -> nn.Module:
        """Return the model in INT8 but for ``levels``, calibrated on all samples or on those that set ranges."""
        state = self._state
        source = state.source if everything else dataclasses.replace(state.source, calibration=self._ranging)
        scratch = CompressionState(source, copy.deepcopy(state.module), targets=state.targets, seed=state.seed)
        QuantizeStep(plain(self._settings, levels)).apply(scratch)
        return scratch.module

    def _noise(self) -> dict[str, float]:
        kept = set(kept_layers(self._settings, self._state))
        per_channel = self._settings.weights == "per_channel"
        found = layer_noise(self._state, self._judge, self._ranging, per_channel)
        return {path: each for path, each in found.items() if path not in kept}

    def _begin(self, comparison: Comparison | None) -> Relative | None:
        if comparison is None:
            return None
        self._state.tell("measure the model in floating point")
        comparison.against(self.variant({}))
        return comparison.of_float()

    def _layers(self, comparison: Comparison | None, paths: list[str], noise: Mapping[str, float]) -> list[Layer]:
        """What each layer brings and costs."""
        costs = self._costs(comparison, paths, "fp32")
        if not self._half:
            return [Layer(path, noise[path], costs[path]) for path in paths]
        lost, halves = half_noise(self._state, self._judge, paths), self._costs(comparison, paths, "fp16")
        holds = {path: math.isfinite(lost[path]) for path in paths}
        return [
            Layer(path, noise[path], costs[path], lost[path], halves[path])
            if holds[path]
            else Layer(path, noise[path], costs[path])
            for path in paths
        ]

    def _costs(self, comparison: Comparison | None, paths: list[str], level: Level) -> dict[str, float]:
        """What each layer costs in floating point, as a part of the all-INT8 model's time."""
        if comparison is None:
            ratio = FLOAT_TO_INT8 if level == "fp32" else HALF_TO_INT8
            every = shares(macs_of_layers(self._state), ratio)
            return {path: every.get(path, 0.0) for path in paths}
        found = {}
        for done, path in enumerate(paths):
            self._state.tell(f"measure layers in {NAMES[level]}", done, len(paths))
            # A difference within its own noise is no gain: the cost of a layer is at least 0.
            found[path] = max(0.0, self._latency(comparison, {path: level}).ratio - 1.0)
        return found

    def _latency(self, comparison: Comparison, levels: Assignment, module: nn.Module | None = None) -> Relative:
        """The latency of an assignment, as a multiple of all-INT8; each is measured once."""
        known = frozenset(levels.items())
        if known not in self._compared:
            name = f"variant-{len(self._compared)}"
            self._compared[known] = comparison.of(module if module is not None else self.variant(levels), name)
        return self._compared[known]

    def _curve(self, comparison: Comparison | None, changes: list[Change], layers: list[Layer]) -> list[Point]:
        """Variants with no, one, two, ... changes, each built, judged, and measured where there is a device."""
        points = []
        for count in range(len(changes) + 1):
            levels = assigned(changes[:count])
            self._state.tell("trade-off curve", count, len(changes) + 1)
            module = self.variant(levels)
            latency = self._point_latency(comparison, module, levels, layers)
            quality = self._judge.quality(module)
            points.append(Point(at(levels, "fp32"), quality, half_layers=at(levels, "fp16"), **latency))
        return points

    def _point_latency(
        self, comparison: Comparison | None, module: nn.Module, levels: Assignment, layers: list[Layer]
    ) -> dict[str, Any]:
        if not levels:
            return {"latency": 1.0, "measured": comparison is not None}
        if comparison is None:
            return {"latency": estimated(levels, layers), "measured": False}
        found = self._latency(comparison, levels, module)
        return {"latency": found.ratio, "measured": True, "low": found.low, "high": found.high}

    def _details(
        self,
        noise: dict[str, float],
        layers: list[Layer],
        points: list[Point],
        reference: Relative | None,
        comparison: Comparison | None,
    ) -> dict[str, Any]:
        settings = self._settings
        point, why = choose(
            points,
            least_quality=settings.least_quality,
            most_latency=None if settings.most_latency is None else 1.0 + settings.most_latency,
            float_latency=reference.ratio if reference else None if comparison else FLOAT_TO_INT8,
        )
        if point is None:
            raise UserError(f"{why}; try more `candidates`, another observer, or quantization-aware training")
        return {
            "metric": settings.metric,
            "cost": "measured" if comparison else "estimated",
            "target": comparison.target if comparison else "",
            "sensitivity": dict(sorted(noise.items(), key=lambda item: -item[1])),
            "layers": [dataclasses.asdict(each) for each in layers],
            "points": [each.as_json() for each in points],
            "float_latency": reference.ratio if reference else None,
            "chosen": list(point.float_layers),
            "chosen_half": list(point.half_layers),
            "why": why,
            "judged_on": self.set_aside or len(self._judging),
            "set_aside": bool(self.set_aside),
        }


def estimated(levels: Assignment, layers: Sequence[Layer]) -> float:
    """Return the latency of an assignment as a multiple of all-INT8, if what layers cost can be added."""
    costs = {(each.path, "fp32"): each.cost for each in layers}
    costs |= {(each.path, "fp16"): each.half_cost or 0.0 for each in layers}
    return 1.0 + sum(costs[path, level] for path, level in levels.items())
