"""The step `mixed_precision`: sensitivity, cost, a curve of real variants, and the assignment that meets the target."""

from __future__ import annotations

import copy
import dataclasses
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import UserError

from ..quantization.ptq import QuantizeStep, kept_layers
from ..quantization.settings import Quantize
from ..state import CompressionState, Tensors
from ..step import Outcome, Step
from .choose import Layer, Point, choose, order, shares
from .cost import Comparison, Relative
from .sensitivity import Judge, layer_noise, macs_of_layers
from .settings import MixedPrecision

if TYPE_CHECKING:
    from torch import nn

    from seatrial_targets.profile import TargetProfile

FLOAT_TO_INT8 = 3.0  # how much longer a convolution takes in float32 than in INT8, on x86-64 with VNNI (RESULTS.md)
LEAST_SAMPLES = 8  # below that, none can be set aside to judge by


class MixedPrecisionStep(Step[MixedPrecision]):
    """Carries `MixedPrecision` out."""

    def check(self, state: CompressionState) -> None:
        """Find the layers that stay float in any case; a device for measured costs must be there."""
        self._plain().check(state)
        if self.settings.cost == "measured" and not state.bench:
            raise UserError("cost: measured needs a device; give --device NAME, or write cost: estimated")

    def refused_by(self, target: TargetProfile) -> str:
        """As for `quantize`."""
        return self._plain().refused_by(target)

    def apply(self, state: CompressionState) -> Outcome:
        """Replace the module by the chosen assignment. Raises UserError when no assignment meets the target."""
        search = _Search(self.settings, state)
        measured = state.bench is not None and self.settings.cost != "estimated"
        if measured:
            assert state.bench is not None
            with Comparison(state, state.bench, self.settings.runs) as comparison:
                details = search.run(comparison)
        else:
            details = search.run(None)
        chosen = tuple(details["chosen"])
        state.module, state.form = search.variant(chosen, everything=True), "quantized"
        return Outcome(tuple(_notes(details, chosen)), details)

    def _plain(self) -> QuantizeStep:
        return QuantizeStep(plain(self.settings))


def plain(settings: MixedPrecision, keep: tuple[str, ...] = ()) -> Quantize:
    """Return the settings of `quantize` in those of mixed precision, with further layers in float."""
    fields = {name: getattr(settings, name) for name in Quantize.model_fields if name in settings.model_fields_set}
    return Quantize(**{**fields, "keep_float": (*settings.keep_float, *keep)})


class _Search:
    """One search. Ranges come from most of the calibration samples; the rest, which set none, judge the variants."""

    def __init__(self, settings: MixedPrecision, state: CompressionState) -> None:
        self._settings, self._state = settings, state
        samples = state.samples("calibration")
        held = max(1, len(samples) // 4) if len(samples) >= LEAST_SAMPLES else 0
        self._ranging: list[Tensors] = samples[: len(samples) - held] if held else samples
        self._judging: list[Tensors] = samples[len(samples) - held :] if held else samples
        self.set_aside = held
        self._judge = Judge(state, settings.metric, self._judging)
        self._compared: dict[frozenset[str], Relative] = {}

    def run(self, comparison: Comparison | None) -> dict[str, Any]:
        """Return everything that was found, as plain JSON values; under "chosen" the layers that stay in float."""
        noise = self._noise()
        # One layer at least stays to be quantized; the rest of the curve would be the float model.
        tried = sorted(noise, key=lambda path: -noise[path])[: min(self._settings.candidates, len(noise) - 1)]
        reference = self._begin(comparison)
        costs = self._costs(comparison, tried)
        layers = [Layer(path, noise[path], costs[path]) for path in tried]
        points = self._curve(comparison, order(layers), costs)
        return self._details(noise, layers, points, reference, comparison)

    def variant(self, keep: tuple[str, ...], everything: bool = False) -> nn.Module:
        """Return the model in INT8 with some layers in float, calibrated on all samples or on those that set ranges."""
        state = self._state
        source = state.source if everything else dataclasses.replace(state.source, calibration=self._ranging)
        scratch = CompressionState(source, copy.deepcopy(state.module), targets=state.targets, seed=state.seed)
        QuantizeStep(plain(self._settings, keep)).apply(scratch)
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
        comparison.against(self.variant(()))
        return comparison.of_float()

    def _costs(self, comparison: Comparison | None, paths: list[str]) -> dict[str, float]:
        """What each layer in float costs, as a part of the all-INT8 model's time."""
        if comparison is None:
            every = shares(macs_of_layers(self._state), FLOAT_TO_INT8)
            return {path: every.get(path, 0.0) for path in paths}
        found = {}
        for done, path in enumerate(paths):
            self._state.tell("measure layers in float", done, len(paths))
            # A difference within its own noise is no gain: the cost of a layer is at least 0.
            found[path] = max(0.0, self._latency(comparison, (path,)).ratio - 1.0)
        return found

    def _latency(self, comparison: Comparison, keep: tuple[str, ...], module: nn.Module | None = None) -> Relative:
        """The latency with some layers in float, as a multiple of all-INT8; each assignment is measured once."""
        known = frozenset(keep)
        if known not in self._compared:
            name = f"variant-{len(self._compared)}"
            self._compared[known] = comparison.of(module if module is not None else self.variant(keep), name)
        return self._compared[known]

    def _curve(self, comparison: Comparison | None, paths: list[str], costs: dict[str, float]) -> list[Point]:
        """Variants with no, one, two, ... layers in float, each built, judged, and measured where there is a device."""
        points = []
        for count in range(len(paths) + 1):
            keep = tuple(paths[:count])
            self._state.tell("trade-off curve", count, len(paths) + 1)
            module = self.variant(keep)
            quality = self._judge.quality(module)
            points.append(self._point(comparison, module, keep, quality, costs))
        return points

    def _point(
        self,
        comparison: Comparison | None,
        module: nn.Module,
        keep: tuple[str, ...],
        quality: float,
        costs: dict[str, float],
    ) -> Point:
        if not keep:
            return Point(keep, quality, 1.0, comparison is not None)
        if comparison is None:
            return Point(keep, quality, 1.0 + sum(costs[path] for path in keep), False)
        found = self._latency(comparison, keep, module)
        return Point(keep, quality, found.ratio, True, found.low, found.high)

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
            "why": why,
            "judged_on": self.set_aside or len(self._judging),
            "set_aside": bool(self.set_aside),
        }


def _notes(details: dict[str, Any], chosen: tuple[str, ...]) -> list[str]:
    what = f"{len(chosen)} layers stay in float: {', '.join(chosen)}" if chosen else "all layers as INT8"
    notes = [f"{what} ({details['why']})"]
    if details["cost"] == "estimated":
        notes.append(
            f"latency is an ESTIMATE from multiply-accumulates (float takes {FLOAT_TO_INT8:g} times as long); "
            "give --device to have it measured"
        )
    if not details["set_aside"]:
        notes.append(f"fewer than {LEAST_SAMPLES} calibration samples: the same ones set the ranges and judge them")
    reference = details["float_latency"]
    slower = [each for each in details["points"] if reference and each["latency"] >= reference]
    if slower:
        count = len(slower[0]["float_layers"])
        notes.append(f"with {count} layers in float the model is slower than all of it in float: not taken")
    return notes
