"""Which steps a recipe may hold: kind -> where its settings and its behaviour are, as "module:Class".

A new step is a module with a `StepSettings`, one with a `Step`, and a line here. Modules of settings must not import
torch: a recipe is checked before anything heavy is loaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial_targets.errors import UnknownNameError

if TYPE_CHECKING:
    from .settings import StepSettings
    from .step import Step


class Entry(NamedTuple):
    """Where a step is, and its one line in the overview."""

    settings: str
    step: str
    summary: str


STEPS: dict[str, Entry] = {
    "quantize": Entry(
        "seatrial.compression.quantization.settings:Quantize",
        "seatrial.compression.quantization.ptq:QuantizeStep",
        "Post-training static INT8: ranges from calibration data",
    ),
    "fold_batch_norm": Entry(
        "seatrial.compression.surgery.settings:FoldBatchNorm",
        "seatrial.compression.surgery.batch_norm:FoldBatchNormStep",
        "Fold batch norms into the convolutions and linear layers before them",
    ),
    "equalize": Entry(
        "seatrial.compression.surgery.settings:Equalize",
        "seatrial.compression.surgery.equalize:EqualizeStep",
        "Scale channels between layers so that their weights have ranges alike",
    ),
    "replace_activation": Entry(
        "seatrial.compression.surgery.settings:ReplaceActivation",
        "seatrial.compression.surgery.activations:ReplaceActivationStep",
        "Replace activation modules, such as SiLU by Hardswish",
    ),
    "replace_modules": Entry(
        "seatrial.compression.surgery.settings:ReplaceModules",
        "seatrial.compression.surgery.modules:ReplaceModulesStep",
        "Replace modules by rule, with functions of your own",
    ),
    "fuse_attention": Entry(
        "seatrial.compression.surgery.settings:FuseAttention",
        "seatrial.compression.surgery.attention:FuseAttentionStep",
        "Write attention that is spelled out as one operator",
    ),
    "prune": Entry(
        "seatrial.compression.pruning.settings:Prune",
        "seatrial.compression.pruning.structured:PruneStep",
        "Remove channels and attention heads, to an amount or until a goal is met",
    ),
    "prune_weights": Entry(
        "seatrial.compression.pruning.sparse_settings:PruneWeights",
        "seatrial.compression.pruning.sparse:PruneWeightsStep",
        "Set single weights to 0, anywhere or two of each four",
    ),
    "finetune": Entry(
        "seatrial.compression.training.settings:Finetune",
        "seatrial.compression.training.finetune:FinetuneStep",
        "Train the model as it is now on your data, with your loss",
    ),
    "distil": Entry(
        "seatrial.compression.distillation.settings:Distil",
        "seatrial.compression.distillation.distil:DistilStep",
        "Train the model as it is now to answer like a teacher",
    ),
    "qat": Entry(
        "seatrial.compression.quantization.qat_settings:Qat",
        "seatrial.compression.quantization.qat:QatStep",
        "Quantization-aware training, with your labels, a teacher, or both",
    ),
    "mixed_precision": Entry(
        "seatrial.compression.mixed_precision.settings:MixedPrecision",
        "seatrial.compression.mixed_precision.mixed:MixedPrecisionStep",
        "INT8, but for the layers whose floating point pays in measured time",
    ),
    "quantize_weights": Entry(
        "seatrial.compression.weight_only.settings:QuantizeWeights",
        "seatrial.compression.weight_only.quantize:QuantizeWeightsStep",
        "Quantize weights alone, as INT8 or INT4 in groups: for language models",
    ),
}


def settings_class(kind: str) -> type[StepSettings]:
    """Return the class of a step's settings. Raises UnknownNameError."""
    found: type[StepSettings] = _imported(_entry(kind).settings)
    return found


def step_for(settings: StepSettings) -> Step[Any]:
    """Return what carries ``settings`` out; imports torch."""
    made: Step[Any] = _imported(_entry(settings.kind).step)(settings)
    return made


def _entry(kind: str) -> Entry:
    if kind not in STEPS:
        raise UnknownNameError("step", kind, STEPS, "docs/compression.md describes all")
    return STEPS[kind]


def _imported(place: str) -> type:
    module, _, name = place.partition(":")
    found: type = getattr(import_module(module), name)
    return found
