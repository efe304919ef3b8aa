"""Post-training static quantization: observe the calibration data, convert, make up for what rounding cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from seatrial_targets.errors import ModelError, UserError

from ..capture import Captured, capture_batched
from ..state import CompressionState, select, set_training
from ..step import Outcome, Step
from .cleaning import cleaned
from .observers import PerChannelWeightObserver, RangeObserver, WeightObserver
from .pt2e import QuantizationSpec, converted, prepared
from .quantizer import LayerQuantizer, Specs
from .settings import Quantize, QuantizerSettings

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile

BATCH = 16


class QuantizeStep(Step[Quantize]):
    """Carries `Quantize` out."""

    def check(self, state: CompressionState) -> None:
        """Find the layers that stay in floating point."""
        kept_layers(self.settings, state)

    def refused_by(self, target: TargetProfile) -> str:
        """Say which runtimes take uint8 activations."""
        return refused(self.settings, target)

    def apply(self, state: CompressionState) -> Outcome:
        """Replace the module by a captured graph with quantizers."""
        captured = capture_batched(state.as_source())
        asymmetric = is_asymmetric(self.settings, state)
        quantizer = LayerQuantizer(self._specs(asymmetric), kept_layers(self.settings, state), outputs=asymmetric)
        model = prepared(captured.program.module(), quantizer)
        if not quantizer.layers:
            raise UserError("nothing would be quantized: the model has no layer with weights that keep_float leaves")
        count = calibrate(model, captured, state, self.settings.samples)
        check_observers(model)
        state.module = cleaned(converted(model))
        state.form = "quantized"
        set_training(state.module, False)
        return Outcome((f"calibrated on {count} samples",), {"layers": quantizer.layers})

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
    """Return why the target's runtime can't carry the quantizers, or an empty string."""
    if settings.activations == "asymmetric" and target.runtime.name != "onnxruntime":
        return (
            f"{target.runtime.name} takes no uint8 activations with zero points, onnxruntime does; use symmetric ones"
        )
    return ""


def kept_layers(settings: QuantizerSettings, state: CompressionState) -> list[str]:
    """Return the paths of the layers that ``keep_float`` names. Raises UnknownNameError, UserError."""
    known = [name for name, _ in state.module.named_modules() if name]
    return select(settings.keep_float, known, "layer") if settings.keep_float else []


def calibrate(model: torch.nn.Module, captured: Captured, state: CompressionState, most: int) -> int:
    """Run the calibration samples through a prepared model and return how many there were.

    Raises ModelError for samples that do not fit, with their index.
    """
    samples = state.samples("calibration")[:most]
    batches = batched(samples, BATCH if captured.batched else 1)
    with torch.no_grad():
        for index, batch in enumerate(batches):
            state.tell("calibrate", index, len(batches))
            model(*batch.values()) if state.source.positional else model(**batch)
    return len(samples)


def batched(samples: list[dict[str, torch.Tensor]], size: int) -> list[dict[str, torch.Tensor]]:
    """Return the samples joined along axis 0, ``size`` samples each."""
    groups = [samples[i : i + size] for i in range(0, len(samples), size)]
    return [{name: torch.cat([each[name] for each in group]) for name in group[0]} for group in groups]


def check_observers(model: torch.nn.Module) -> None:
    """Raise ModelError when an activation or a weight held NaN or infinity."""
    wrong = [name for name, each in model.named_modules() if not getattr(each, "finite", True)]
    if wrong:
        node = next(node for node in model.graph.nodes if node.op == "call_module" and node.target == wrong[0])
        from ...exporters.blame import node_place

        what = node.args[0]
        raise ModelError(
            f"{node_place(what) or what.name}: holds NaN or infinity on the calibration data; no range covers that"
        )
