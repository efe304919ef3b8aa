"""Rules on the quantizers themselves: constants, types, zero points, scales, axes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..onnx_graph import Graph, attribute
from .finding import Context, Problem, Rule

if TYPE_CHECKING:
    import onnx

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
MULTIPLYING = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# TensorProto's element types. Float8 E4M3 came with 8.6, int4 with 10, float4 with 10.8.
UINT8, INT8, FLOAT, FLOAT16, BFLOAT16 = 2, 3, 1, 10, 16
TYPES = {INT8: (), 17: (8, 6), 22: (10,), 23: (10, 8)}
LEAST_FP16 = 6.104e-5  # the smallest normal number; below it a scale loses its digits


def quantizers(graph: Graph) -> Iterator[onnx.NodeProto]:
    """Yield every QuantizeLinear and DequantizeLinear."""
    return (node for node in graph.nodes if node.op_type in QUANTIZERS)


def _three_inputs(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in quantizers(graph):
        if len(node.input) < 3 or not node.input[2]:
            yield Problem(node, "has no zero point; the parser of 8.5 wants all three inputs", "give it an int8 0")


def _constants(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in quantizers(graph):
        if any(name and graph.array(name) is None for name in node.input[1:3]):
            yield Problem(node, "its scale or zero point is computed", "fold it to a constant; TensorRT takes no other")


def _zero_point(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in quantizers(graph):
        zero = graph.array(node.input[2]) if len(node.input) > 2 and node.input[2] else None
        if zero is not None and np.any(zero.astype(np.float32) != 0):
            yield Problem(node, "its zero point is not 0", "quantize symmetrically: TensorRT has no zero points")


def _integer_type(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in quantizers(graph):
        kind = _stored_type(graph, node)
        if kind == UINT8:
            text = "is uint8, which ONNX Runtime reads as 0 to 255 and TensorRT as -128 to 127"
            yield Problem(node, text, "quantize to int8, symmetrically, with an explicit int8 zero point")
        elif kind and kind not in TYPES and not _of_bias(graph, node):
            yield Problem(node, f"quantizes to {_name(kind)}", "TensorRT's quantizers take int8")
        elif context.oldest < TYPES.get(kind, ()):
            first = ".".join(map(str, TYPES[kind]))
            yield Problem(node, f"quantizes to {_name(kind)}, which came with TensorRT {first}", "quantize to int8")


def _scale(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in quantizers(graph):
        scale = graph.array(node.input[1])
        if scale is None:
            continue
        values = scale.astype(np.float64)
        if not np.isfinite(values).all() or (values <= 0).any():
            text = "a scale is 0, negative or not finite (in fp16 it may have become so)"
            yield Problem(node, text, "calibrate again: a channel that never varies needs a small positive scale")
        elif scale.dtype == np.float16 and values.min() < LEAST_FP16:
            text = f"its scale {values.min():.1e} is below what fp16 holds with all its digits"
            yield Problem(node, text, "keep scales in float32, between Casts in an fp16 graph", severity="warning")


def _scale_type(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in quantizers(graph):
        if _scale_kind(graph, node) not in (0, FLOAT):
            text = "its scale is not float32; the parser of 8.x reads it as if it were, and computes garbage"
            yield Problem(node, text, "Cast to float32, quantize, dequantize, Cast back, with float32 scales")


def _scale_opset(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in quantizers(graph):
        if graph.opset < 19 and _scale_kind(graph, node) in (FLOAT16, BFLOAT16):
            text = f"has a 16-bit scale at opset {graph.opset}; ONNX allows that from 19, so little else loads it"
            yield Problem(node, text, "use float32 scales between Casts, or opset 19")


def _activation_scale(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in quantizers(graph):
        scale = graph.array(node.input[1])
        if node.op_type != "DequantizeLinear" or graph.constant(node.input[0]):
            continue
        if scale is not None and scale.size > 1:
            text = f"quantizes an activation with {scale.size} scales; what reads it runs in floating point"
            yield Problem(node, text, "use one scale per activation tensor")


def _weight_axis(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type in MULTIPLYING):
        quantizer = graph.dequantizer(node.input[1])
        scale = graph.array(quantizer.input[1]) if quantizer is not None else None
        if quantizer is None or scale is None or scale.size <= 1 or not graph.constant(quantizer.input[0]):
            continue
        shape = weight_shape(graph, quantizer)
        want, have = output_axis(node, len(shape)), attribute(quantizer, "axis", 1)
        have = have + len(shape) if have < 0 else have
        if have != want or (shape and scale.size != shape[want]):
            text = f"its weight has {scale.size} scales along axis {have}; the output channels are axis {want}"
            yield Problem(
                node, f"{text}, so it runs in floating point", f"quantize the weight per channel of axis {want}"
            )


def _integer_weights(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type == "DequantizeLinear" and not _of_bias(graph, n)):
        tensor = graph.tensors.get(node.input[0])
        if tensor is not None and tensor.data_type == INT8 and tensor.dims:
            text = "its weight is stored as int8, which the parser of 8.4 refused and which is documented from 10 on"
            yield Problem(
                node, text, "store the weight in float32 and put a QuantizeLinear before the DequantizeLinear"
            )


def _half(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type in MULTIPLYING):
        sides = [graph.dequantizer(name) is not None for name in node.input[:2]]
        if sides[0] != sides[1]:
            side, other = ("activation", "weight") if sides[0] else ("weight", "activation")
            text = f"only its {side} is quantized, so it runs in floating point"
            yield Problem(node, text, f"quantize the {other} too, or neither")


def _bias(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type in MULTIPLYING and len(n.input) > 2):
        if graph.dequantizer(node.input[2]) is not None:
            text = "its bias is quantized (int32 behind a DequantizeLinear)"
            yield Problem(node, text, "keep the bias in floating point (onnxruntime: QuantizeBias=False)")


def _stored_type(graph: Graph, node: onnx.NodeProto) -> int:
    if len(node.input) > 2 and node.input[2]:
        return graph.type_of(node.input[2])
    if node.op_type == "DequantizeLinear":
        return graph.type_of(node.input[0])
    return int(attribute(node, "output_dtype", 0)) or UINT8


def _scale_kind(graph: Graph, node: onnx.NodeProto) -> int:
    return graph.type_of(node.input[1])


def _of_bias(graph: Graph, node: onnx.NodeProto) -> bool:
    """A bias has a rule of its own."""
    readers = graph.only_readers(node.output[0])
    return any(r.op_type in MULTIPLYING and len(r.input) > 2 and graph.maker(r.input[2]) is node for r in readers)


def weight_shape(graph: Graph, quantizer: Any) -> list[int]:
    """Return the shape of the constant behind a quantizer."""
    node, name = quantizer, quantizer.input[0]
    while name not in graph.tensors and (node := graph.makers.get(name)) is not None:
        name = node.input[0]
    return list(graph.tensors[name].dims)


def output_axis(node: onnx.NodeProto, rank: int) -> int:
    """Return the axis of the weight along which the output channels lie."""
    if node.op_type == "Gemm":
        return 0 if attribute(node, "transB", 0) else 1
    return {"Conv": 0, "ConvTranspose": 1, "MatMul": rank - 1}[node.op_type]


def _name(kind: int) -> str:
    import onnx

    return str(onnx.TensorProto.DataType.Name(kind)).lower()


RULES = (
    Rule("zero-point-input", "error", _three_inputs, until=(8, 6)),
    Rule("constant-scale", "error", _constants),
    Rule("zero-point", "error", _zero_point),
    Rule("integer-type", "error", _integer_type),
    Rule("scale", "error", _scale),
    Rule("scale-type", "error", _scale_type, until=(10,)),
    Rule("scale-opset", "warning", _scale_opset),
    Rule("activation-scale", "warning", _activation_scale),
    Rule("weight-axis", "warning", _weight_axis),
    Rule("integer-weights", "warning", _integer_weights, until=(10,)),
    Rule("half-quantized", "warning", _half),
    Rule("quantized-bias", "error", _bias),
)
