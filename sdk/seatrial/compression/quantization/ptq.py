"""Post-training static quantization: observe the calibration data, convert, make up for what rounding cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from seatrial_targets.errors import UserError

from ..capture import capture_batched
from ..claims import half_remarks
from ..state import CompressionState, select, set_training
from ..step import Outcome, Step
from .calibrating import Calibration
from .cleaning import cleaned
from .dynamic import quantize_dynamically
from .half import compute_in_half
from .observers import PerChannelWeightObserver, RangeObserver, WeightObserver
from .pt2e import QuantizationSpec, converted, copied, prepared
from .quantizer import LayerQuantizer, Specs
from .refine import refine
from .settings import Quantize, QuantizerSettings

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile

MOST_REFINED = 32  # samples, taken evenly from all: means and curvatures settle with few


class QuantizeStep(Step[Quantize]):
    """Carries `Quantize` out."""

    def check(self, state: CompressionState) -> None:
        """Find the layers that stay in floating point."""
        kept_layers(self.settings, state)

    def refused_by(self, target: TargetProfile) -> str:
        """Say which targets take quantizers, uint8 activations, and dynamic ranges."""
        if self.settings.scheme == "dynamic" and target.runtime.name != "onnxruntime":
            return (
                f"{target.runtime.name} finds no scales while it runs, onnxruntime does; use scheme static, or the "
                "step quantize_weights"
            )
        return refused(self.settings, target)

    def apply(self, state: CompressionState) -> Outcome:
        """Replace the module by a captured graph with quantizers."""
        if self.settings.scheme == "dynamic":
            return quantize_dynamically(self.settings, state)
        captured = capture_batched(state.as_source())
        asymmetric = is_asymmetric(self.settings, state)
        kept, half = kept_layers(self.settings, state), half_layers(self.settings, state)
        quantizer = LayerQuantizer(self._specs(asymmetric), kept, outputs=asymmetric)
        model = prepared(captured.program.module(), quantizer)
        require_layers(quantizer)
        calibration = Calibration(state, captured, self.settings.samples)
        notes = (*calibration.run(model), *self._convert(model, calibration, state), *half_remarks(half, state.targets))
        compute_in_half(state.module, half)
        return Outcome(notes, {"layers": quantizer.layers})

    def _convert(self, model: Any, calibration: Calibration, state: CompressionState) -> tuple[str, ...]:
        settings, adaptive = self.settings, self.settings.rounding == "adaptive"
        reference = copied(model)
        state.module = cleaned(converted(model))
        state.form = "quantized"
        set_training(state.module, False)
        if not adaptive and not settings.bias_correction:
            return ()
        state.tell("make up for rounding")
        batches = [tuple(each.values()) for each in calibration.batches(MOST_REFINED)]
        return refine(state.module, reference, batches, rounding=adaptive, biases=settings.bias_correction)

    def _specs(self, asymmetric: bool) -> Specs:
        settings = self.settings
        observer = RangeObserver.with_args(observer=settings.observer, percentile=settings.percentile)
        kind = PerChannelWeightObserver if settings.weights == "per_channel" else WeightObserver
        weight = kind.with_args(observer=settings.weight_observer)
        return specs(settings, asymmetric, observer, weight)


def specs(settings: QuantizerSettings, asymmetric: bool, activation: Any, weight: Any) -> Specs:
    """Return the quantizers' specs, given what makes observers (or fake quantizers) for activations and weights."""
    if asymmetric:
        of_activation = QuantizationSpec(torch.uint8, activation, 0, 255, torch.per_tensor_affine)
    else:
        of_activation = QuantizationSpec(torch.int8, activation, -127, 127, torch.per_tensor_symmetric)
    axes = (0, 1) if settings.weights == "per_channel" else (None, None)
    scheme = torch.per_channel_symmetric if settings.weights == "per_channel" else torch.per_tensor_symmetric
    of_weight = (QuantizationSpec(torch.int8, weight, -127, 127, scheme, axis) for axis in axes)
    return Specs(of_activation, *of_weight)


def is_asymmetric(settings: QuantizerSettings, state: CompressionState) -> bool:
    """Return what ``activations`` means for the targets of the recipe."""
    if settings.activations != "auto":
        return settings.activations == "asymmetric"
    return bool(state.targets) and all(target.runtime.name == "onnxruntime" for target in state.targets)


def refused(settings: QuantizerSettings, target: TargetProfile) -> str:
    """Return why the target can't carry the quantizers, or an empty string."""
    if target.precision != "int8" and target.runtime.name in ("onnxruntime", "tensorrt"):
        return f"it is a target for {target.precision}, whose export takes no quantized model; {_int8_instead(target)}"
    if settings.activations == "asymmetric" and target.runtime.name != "onnxruntime":
        return (
            f"{target.runtime.name} takes no uint8 activations with zero points, onnxruntime does; use symmetric ones"
        )
    return ""


def _int8_instead(target: TargetProfile) -> str:
    from seatrial_targets import registry

    sibling = target.name.replace(target.precision, "int8")
    return f"name {sibling!r}" if sibling in registry.names() else "name a target for INT8"


def kept_layers(settings: QuantizerSettings, state: CompressionState) -> list[str]:
    """Return the paths of the layers that get no quantizers: those that ``keep_float`` and ``keep_half`` name.

    Raises UnknownNameError, and UserError for a layer that both name.
    """
    kept, half = _selected(settings.keep_float, state), half_layers(settings, state)
    if both := [path for path in kept if path in half]:
        raise UserError(
            f"keep_float and keep_half both name {both[0]}: a layer is float32 or float16, leave it out of one"
        )
    return [*kept, *half]


def half_layers(settings: QuantizerSettings, state: CompressionState) -> list[str]:
    """Return the paths of the layers that ``keep_half`` names. Raises UnknownNameError, UserError."""
    return _selected(settings.keep_half, state)


def _selected(patterns: tuple[str, ...], state: CompressionState) -> list[str]:
    known = [name for name, _ in state.module.named_modules() if name]
    return select(patterns, known, "layer") if patterns else []


def require_layers(quantizer: LayerQuantizer) -> None:
    """Raise UserError when nothing got quantizers."""
    if not quantizer.layers:
        raise UserError(
            "nothing would be quantized: the model has no layer with weights that keep_float and keep_half leave"
        )
