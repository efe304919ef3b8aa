"""FP32 ONNX to FP16, dynamic INT8 and static INT8."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial_targets.errors import ExportError
from seatrial_targets.profile import Quantization

from .bias_correction import correct_biases
from .calibration import as_tensors_data, calibrate
from .host import HostSession
from .noise import quiet
from .onnx_surgery import with_final_outputs
from .samples import Arrays

if TYPE_CHECKING:
    import onnx

    from . import Progress


FLOAT16_MAX = 65504.0
RECURRENT = ("GRU", "LSTM", "RNN")
MASKED = -1e30  # attention masks use such values for "minus infinity", and mean it in float16, too


def to_fp16(model: onnx.ModelProto, samples: Sequence[Arrays]) -> onnx.ModelProto:
    """Return ``model`` with float16 weights and arithmetic; inputs and outputs stay float32.

    Raises ExportError when a value in the model leaves float16's range on ``samples``.
    """
    from onnxconverter_common import float16

    _check_range(model, samples)
    with quiet():
        made: onnx.ModelProto = float16.convert_float_to_float16(
            with_final_outputs(model), keep_io_types=True, max_finite_val=65504.0
        )
    return made


def _check_range(model: onnx.ModelProto, samples: Sequence[Arrays]) -> None:
    # Looked up in float32: an x86 CPU computes float16 models in float32, and so never shows the overflow.
    for name, (low, high) in calibrate(model, samples, Quantization(calibration="minmax")).items():
        worst = high if high > FLOAT16_MAX else low
        if high > FLOAT16_MAX or MASKED < low < -FLOAT16_MAX:
            raise ExportError(
                f"float16 ends at 65504, and the model's value {name!r} reaches {worst:.3g}: scale it down, or export "
                "as fp32 or int8"
            )


def to_dynamic_int8(model: onnx.ModelProto, how: Quantization, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Return ``model`` with int8 weights; the ranges of activations are found while it runs. The nodes called in
    ``keep`` stay as they are."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]  # the quantizer transposes weights and then trips over their old shapes
    with tempfile.TemporaryDirectory() as folder, quiet():
        made = Path(folder) / "dynamic.onnx"
        quantize_dynamic(
            bare,
            made,
            per_channel=how.per_channel,
            reduce_range=how.reduce_range,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(keep),
        )
        return onnx.load(made)


def to_static_int8(
    model: onnx.ModelProto,
    samples: Sequence[Arrays],
    how: Quantization,
    on_progress: Progress,
    keep: Collection[str] = (),
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Return ``model`` with Q/DQ pairs whose ranges come from ``samples``, and notes on how it was made. The nodes
    called in ``keep`` stay as they are.

    Biases are corrected for the mean error of their layer where that brings the outputs nearer on the samples.
    """
    _check_some(samples)
    on_progress(f"calibrate on {len(samples)} samples ({how.calibration})")
    prepared = _prepared(model)
    ranges = calibrate(prepared, samples, how)
    on_progress("quantize")
    plain = _with_qdq(prepared, as_tensors_data(ranges), how, keep)
    on_progress("correct biases")
    corrected, gain_db = correct_biases(prepared, plain, samples)
    note = f"bias correction: {gain_db:+.1f} dB on the calibration samples" + ("" if gain_db > 0 else ", not used")
    notes = (f"calibrated on {len(samples)} samples", note, *_left_in_float(prepared))
    return (corrected if gain_db > 0 else plain), notes


def _left_in_float(model: onnx.ModelProto) -> tuple[str, ...]:
    """Say which layers with weights onnxruntime's static quantization leaves as they are."""
    found = sorted({node.op_type for node in model.graph.node if node.op_type in RECURRENT})
    advice = "; dynamic INT8 quantizes LSTM" if "LSTM" in found else ""
    return (f"{', '.join(found)} layers stay in float32{advice}",) if found else ()


def _check_some(samples: Sequence[Arrays]) -> None:
    if not samples:
        raise ExportError(
            "static INT8 needs calibration data, and the model source has none: give ModelSource(..., "
            "calibration=samples) some 20 to 200 representative inputs, or choose a target with dynamic quantization"
        )


def _prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """Fold what onnxruntime folds on every CPU (batch norms, pads, constants), so that Q/DQ don't stand between."""
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "basic.onnx"
        HostSession(model.SerializeToString(), optimization="basic", save_as=made)
        return onnx.load(made)


def _with_qdq(model: onnx.ModelProto, ranges: object, how: Quantization, keep: Collection[str] = ()) -> onnx.ModelProto:
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import save_and_reload_model_with_shape_infer
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    operators = list(dict.fromkeys((*QLinearOpsRegistry, *QDQRegistry)))
    options = {"ActivationSymmetric": how.symmetric, "WeightSymmetric": True, "QuantizeBias": how.quantize_bias}
    activation = QuantType.QUInt8 if how.activation == "uint8" else QuantType.QInt8
    with quiet():
        quantizer = QDQQuantizer(
            save_and_reload_model_with_shape_infer(model), how.per_channel, how.reduce_range, QuantType.QInt8,
            activation, ranges, [], list(keep), operators, options,
        )  # fmt: skip
        quantizer.quantize_model()
    made: onnx.ModelProto = quantizer.model.model
    return made
