"""From the float model to the one that the target asks for: fp32, fp16, or explicit INT8 with the rest in either."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from seatrial_runner.enginebuild import CalibrationRecord, Form
from seatrial_targets.errors import ExportError
from seatrial_targets.profile import Quantization

from ...verify.onnx_graph import Graph
from ...verify.tensorrt.finding import Context
from ..bias_correction import correct_biases
from ..calibration import Ranges, calibrate
from ..names import nodes_of
from ..samples import Arrays
from .adopt import adopt, is_quantized
from .half import to_half, too_wide
from .placement import Placement, place
from .quantize import GivenWeight, Weights, activation_scales, with_quantizers

if TYPE_CHECKING:
    import onnx

    from seatrial_targets.profile import TargetProfile

    from .. import Progress

STORED_AS_INTEGERS = (10,)  # the first TensorRT whose parser is documented to take INT8 weights


@dataclass(frozen=True)
class Precise:
    """A model in the precision asked for, and how it came to that.

    ``plain`` computes the same with all of its floating point in float32; ``original`` is the one before quantization,
    which was done by ``placement``, ``scales`` (of activations) and, where they were known before, ``given`` weights.
    """

    model: onnx.ModelProto
    plain: onnx.ModelProto
    original: onnx.ModelProto
    form: Form
    weights: Weights = "float"
    float32_layers: tuple[str, ...] = ()
    kept_float: tuple[str, ...] = ()
    calibration: CalibrationRecord | None = None
    notes: tuple[str, ...] = ()
    placement: Placement | None = None
    scales: Mapping[str, np.float32] = field(default_factory=dict)
    given: Mapping[str, GivenWeight] = field(default_factory=dict)


def with_precision(
    model: onnx.ModelProto,
    samples: Sequence[Arrays],
    examples: Sequence[Arrays],
    keep: Sequence[str],
    target: TargetProfile,
    on_progress: Progress,
) -> Precise:
    """Return ``model`` (float32, nodes named after modules) as ``target`` wants it.

    ``samples`` are for calibration, ``examples`` (at least one) for the range of float16; ``keep`` names modules that
    stay in floating point. Raises ExportError.
    """
    how = target.quantization
    if is_quantized(model):
        made = _brought(model, keep, target)
    elif how is not None:
        made = _calibrated(model, samples, keep, how, target, on_progress)
    else:
        made = Precise(model, model, model, "fp32")
    half = target.precision == "fp16" or (how is not None and how.rest == "fp16")
    return _halved(made, [*examples, *samples[:8]], on_progress) if half else made


def _brought(model: onnx.ModelProto, keep: Sequence[str], target: TargetProfile) -> Precise:
    """A model that was quantized before, by training or in torch: nothing is measured here."""
    if target.quantization is None:
        raise ExportError(
            f"the model is quantized, and target {target.name!r} is {target.precision}: choose an int8 target, or "
            "export the model as it was before it was quantized"
        )
    brought = adopt(model)
    placement = brought.placement
    for node in nodes_of(brought.model, keep):
        placement = placement.without(node)
    weights = _storage(target)
    made = with_quantizers(brought.model, placement, brought.scales, weights, brought.weights)
    plain = with_quantizers(brought.model, placement, brought.scales, "rounded", brought.weights)
    record = CalibrationRecord(method="from-model", scales={n: float(brought.scales[n]) for n in placement.tensors})
    freed = f"{brought.freed} residual additions read their convolution unrounded, so that TensorRT can fuse them"
    notes = (
        "the scales are the model's own; nothing was calibrated here",
        *([freed] if brought.freed else []),
        *filter(None, [_left(placement)]),
    )
    return Precise(
        made, plain, brought.model, "qdq-fp32", weights, (), tuple(keep), record, notes, placement, brought.scales,
        brought.weights,
    )  # fmt: skip


def _calibrated(
    model: onnx.ModelProto,
    samples: Sequence[Arrays],
    keep: Sequence[str],
    how: Quantization,
    target: TargetProfile,
    on_progress: Progress,
) -> Precise:
    _require_samples(samples)
    placement = place(Graph.of(model), nodes_of(model, keep))
    if not placement.weights:
        raise ExportError(f"nothing of the model can be quantized: {_left(placement) or 'it has no weights'}")
    on_progress(f"calibrate on {len(samples)} samples ({how.calibration})")
    scales = activation_scales(calibrate(model, samples, how), placement)
    on_progress("quantize")
    plain = with_quantizers(model, placement, scales, "rounded")
    on_progress("correct biases")
    # The optimiser of ONNX Runtime 1.31 rounds weights that have no quantizers anew, by one scale per tensor.
    corrected, gain_db = correct_biases(model, plain, samples, optimization="none")
    plain = corrected if gain_db > 0 else plain
    made = with_quantizers(_with_constants_of(plain, model), placement, scales, _storage(target))
    note = f"bias correction: {gain_db:+.1f} dB on the calibration samples" + ("" if gain_db > 0 else ", not used")
    notes = (f"calibrated on {len(samples)} samples", note, *filter(None, [_left(placement)]))
    record = _record(samples, how, scales)
    return Precise(made, plain, model, "qdq-fp32", _storage(target), (), tuple(keep), record, notes, placement, scales)


def _with_constants_of(changed: onnx.ModelProto, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy of ``model`` in which constants have the values that ``changed`` has under the same name."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    values = {each.name: each for each in changed.graph.initializer}
    for each in made.graph.initializer:
        if each.name in values:
            each.CopyFrom(values[each.name])
    return made


def _require_samples(samples: Sequence[Arrays]) -> None:
    if not samples:
        raise ExportError(
            "static INT8 needs calibration data, and the model source has none: give ModelSource(..., "
            "calibration=samples) some 20 to 200 representative inputs"
        )


def _storage(target: TargetProfile) -> Weights:
    return "int8" if Context.of(target).oldest >= STORED_AS_INTEGERS else "float"


def _record(samples: Sequence[Arrays], how: Quantization, scales: Mapping[str, np.float32]) -> CalibrationRecord:
    return CalibrationRecord(
        method=how.calibration,
        samples=len(samples),
        data_sha256=_digest(samples),
        percentile=how.percentile if how.calibration == "percentile" else None,
        scales={name: float(value) for name, value in scales.items()},
    )


def _halved(made: Precise, samples: Sequence[Arrays], on_progress: Progress) -> Precise:
    on_progress("convert to float16")
    wide = too_wide(made.model, _ranges(made.original, samples))
    notes = list(made.notes)
    if wide:
        shown = ", ".join(f"{name} ({value:.3g})" for name, value in list(wide.items())[:4])
        more = f" and {len(wide) - 4} more" if len(wide) > 4 else ""
        notes.append(f"stay in float32, since float16 ends at 65504: {shown}{more}")
    form: Form = "qdq-fp16" if made.form == "qdq-fp32" else "fp16"
    model = to_half(made.model, wide)
    return replace(made, model=model, form=form, float32_layers=tuple(wide), notes=tuple(notes))


def _ranges(model: onnx.ModelProto, samples: Sequence[Arrays]) -> Ranges:
    # Looked up in float32: an x86 CPU computes float16 models in float32, and so never shows the overflow.
    return calibrate(model, samples, Quantization(calibration="minmax"))


def _left(placement: Placement) -> str:
    """Say which weighted nodes stay in floating point, and why."""
    reasons: dict[str, list[str]] = {}
    for name, reason in placement.left.items():
        reasons.setdefault(reason, []).append(name)
    return "; ".join(f"not quantized: {', '.join(names[:6])} ({reason})" for reason, names in reasons.items())


def _digest(samples: Sequence[Arrays]) -> str:
    digest = hashlib.sha256()
    for sample in samples:
        for name, array in sorted(sample.items()):
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()
