"""Rules on operators, opsets, types, ranges and shapes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.profile import EnumeratedShapes, Shape, ShapeRange

from ..onnx_graph import Graph, attribute
from .finding import Context, Problem, Rule, Version
from .quantizers import MULTIPLYING, weight_shape

if TYPE_CHECKING:
    import onnx

# Neither in the table of 8.4 (github.com/onnx/onnx-tensorrt, docs/operators.md) nor taken by the parser of
# TensorRT-RTX 1.7 (supports_operator), which is of TensorRT 11's age.
_NEVER = """
    AffineGrid Bernoulli BitCast BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CenterCropPad Col2Im Compress
    ConcatFromSequence ConvInteger CumProd DFT DeformConv Det DynamicQuantizeLinear ImageDecoder MatMulInteger
    MaxRoiPool MaxUnpool MelWeightMatrix Multinomial NegativeLogLikelihoodLoss Optional OptionalGetElement
    OptionalHasElement QLinearConv QLinearMatMul RegexFullMatch SequenceAt SequenceConstruct SequenceEmpty
    SequenceErase SequenceInsert SequenceLength SequenceMap SoftmaxCrossEntropyLoss SplitToSequence StringConcat
    StringNormalizer StringSplit SwiGLU TfIdfVectorizer Unique
"""
NEVER = frozenset(_NEVER.split())
# Not in the table of 8.4, but taken by the later parser; when they came was not found out.
_LATER = """
    Hardmax IsInf MeanVarianceNormalization Mod NonZero OneHot RandomNormal RandomNormalLike Reciprocal RoiAlign
    Shrink
"""
LATER = frozenset(_LATER.split())
INTEGER_ARITHMETIC = ("ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul")
# The highest opset of the ONNX parser from each version on. That of 10.13 is expected, not stated anywhere we found.
OPSETS: tuple[tuple[Version, int], ...] = (((10, 13), 22), ((10,), 20), ((8, 5), 17), ((8,), 13))
ELEMENTWISE = ("Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "PRelu", "Where", "Concat", "MatMul", "Gemm", "Conv")
FLOATS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}
DOUBLE, INT64 = 11, 7
MOST_FP16 = 65504.0
SPARSE = 0.45  # of the weights: pruned, not by chance


def _unsupported(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in graph.nodes:
        if node.domain in ("", "ai.onnx") and node.op_type in NEVER:
            fix = "take it out of the model, or compute it outside"
            if node.op_type in INTEGER_ARITHMETIC:
                fix = "export with QuantizeLinear and DequantizeLinear around floating-point operators (QDQ format)"
            yield Problem(node, f"TensorRT's parser does not know {node.op_type}", fix)


def _later(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in graph.nodes:
        if node.domain in ("", "ai.onnx") and node.op_type in LATER:
            text = f"{node.op_type} is missing in TensorRT 8.4 and came some time later"
            yield Problem(node, text, "try it on the oldest version that you ship to")


def _domain(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in graph.nodes:
        if node.domain not in ("", "ai.onnx", "trt.plugins"):
            text = f"is of the domain {node.domain!r}, which TensorRT knows only where a plugin for it is loaded"
            yield Problem(node, text, "export without that runtime's own fused operators, or ship the plugin")


def _opset(graph: Graph, context: Context) -> Iterator[Problem]:
    most = next((opset for version, opset in OPSETS if context.oldest >= version), 13)
    if graph.opset > most:
        oldest = ".".join(map(str, context.oldest))
        yield Problem(
            None, f"is opset {graph.opset}; TensorRT {oldest} goes up to {most}", f"export opset {most}", "the file"
        )


def _double(graph: Graph, context: Context) -> Iterator[Problem]:
    for value in (*graph.model.graph.input, *graph.model.graph.output):
        kind = value.type.tensor_type.elem_type
        if kind == DOUBLE:
            yield Problem(None, "is float64, which becomes float32", "use float32", f"tensor {value.name!r}")
        elif kind == INT64:
            text = "is int64, which 8.x clamps to int32; 10 and later keep it"
            yield Problem(None, text, "use int32 where the values fit", f"tensor {value.name!r}", severity="hint")


def _wide_constants(graph: Graph, context: Context) -> Iterator[Problem]:
    for name, tensor in graph.tensors.items():
        if tensor.data_type == DOUBLE:
            yield Problem(None, "is float64, which becomes float32", "store it in float32", f"constant {name!r}")


def _ir_version(graph: Graph, context: Context) -> Iterator[Problem]:
    import onnx

    needed = onnx.helper.find_min_ir_version_for(list(graph.model.opset_import), ignore_unknown=True)
    if graph.model.ir_version > max(needed, 8):
        text = f"is IR version {graph.model.ir_version}, where opset {graph.opset} needs {needed}"
        fix = "lower ir_version; TensorRT does not look at it, but other tools refuse the file"
        yield Problem(None, text, fix, "the file")


def _mixed(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type in ELEMENTWISE):
        names = node.input[1:] if node.op_type == "Where" else node.input
        kinds = {graph.type_of(name) for name in names if name} & FLOATS.keys()
        if len(kinds) > 1:
            text = f"mixes {' and '.join(sorted(FLOATS[kind] for kind in kinds))}"
            yield Problem(node, text, "Cast all inputs (a convolution's bias, too) to one type")


def _fp16_range(graph: Graph, context: Context) -> Iterator[Problem]:
    for name, reader in weights(graph) if context.fp16 else ():
        values = graph.array(name)
        if reader.name in context.held or values is None or values.dtype.kind != "f" or values.size == 0:
            continue
        largest = float(np.max(np.abs(values.astype(np.float64))))
        if not np.isfinite(largest) or largest > MOST_FP16:
            text = f"its constant {name!r} reaches {largest:.3g}; fp16 ends at 65504"
            yield Problem(reader, text, "scale the layer, or keep it in fp32")


def _dynamic(graph: Graph, context: Context) -> Iterator[Problem]:
    constant = {each.name for each in graph.model.graph.initializer}
    for value in (v for v in graph.model.graph.input if v.name not in constant):
        dims = value.type.tensor_type.shape.dim
        varying = [i for i, dim in enumerate(dims) if not dim.HasField("dim_value") or dim.dim_value <= 0]
        problem = _shape_problem(
            value.name, [None if i in varying else d.dim_value for i, d in enumerate(dims)], context
        )
        if problem:
            yield Problem(None, problem, "state min, opt and max under `shapes` of the target", f"input {value.name!r}")


def _shape_problem(name: str, dims: list[int | None], context: Context) -> str:
    shape = context.shapes.get(name)
    if shape is None:
        count = dims.count(None)
        return f"has {count} dynamic dimension{'s' * (count > 1)} and no range for them" if count else ""
    for wanted in _stated(shape):
        if len(wanted) != len(dims) or any(d not in (None, size) for d, size in zip(dims, wanted, strict=True)):
            return f"can't have the shape {'x'.join(map(str, wanted))} that the target states"
    return ""


def _stated(shape: Shape) -> tuple[tuple[int, ...], ...]:
    if isinstance(shape, ShapeRange):
        return shape.min, shape.opt, shape.max
    return shape.enumerated if isinstance(shape, EnumeratedShapes) else (shape,)


def _channels(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type == "Conv" and graph.dequantizer(n.input[0]) is not None):
        quantizer = graph.dequantizer(node.input[1])
        if quantizer is None or not graph.constant(quantizer.input[0]) or attribute(node, "group", 1) > 1:
            continue
        odd = [n for n in weight_shape(graph, quantizer)[:2] if n % 4 and n > 4]
        if odd:
            text = f"has {odd[0]} channels; INT8 kernels work on 4 (best: 32) at a time and pad the rest"
            yield Problem(node, text, "prune or widen to a multiple of 4, better of 32")


def _sparsity(graph: Graph, context: Context) -> Iterator[Problem]:
    for node, zeros, share in sparse_layers(graph):
        rounded = graph.dequantizer(node.input[1]) is not None  # then many are 0 by chance
        if share < 1 and (share > 0.9 or not rounded):
            text = f"{zeros:.0%} of its weights are 0, but only {share:.0%} of the groups of four have two"
            yield Problem(node, text, "prune 2:4 along the input channels; other sparsity brings no speed")


def sparse_layers(graph: Graph) -> Iterator[tuple[onnx.NodeProto, float, float]]:
    """Yield each layer of which nearly half of the weights are 0, that share, and the share of `two_of_four`."""
    for name, node in weights(graph):
        values = graph.array(name) if node.op_type in ("Conv", "Gemm", "MatMul") else None
        if values is not None and values.ndim >= 2 and (values == 0).mean() >= SPARSE:
            yield node, float((values == 0).mean()), two_of_four(_channels_last(node, values))


def two_of_four(weight: np.ndarray[Any, Any]) -> float:
    """Return the share of groups of 4 along the last axis, shape (..., channels), that hold at least two zeros.

    Channels beyond a multiple of 4 are not counted; 1.0 when there is no whole group.

    >>> two_of_four(np.array([[0, 0, 1, 2], [0, 1, 2, 3]]))
    0.5
    """
    whole = weight.shape[-1] // 4 * 4
    zeros = (weight[..., :whole].reshape(-1, 4) == 0).sum(axis=1) if whole else np.array([4])
    return float((zeros >= 2).mean())


def _channels_last(node: onnx.NodeProto, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if node.op_type == "Conv":
        return np.moveaxis(values, 1, -1)
    return values if node.op_type == "Gemm" and attribute(node, "transB", 0) else values.T


def weights(graph: Graph) -> Iterator[tuple[str, onnx.NodeProto]]:
    """Yield each constant that a multiplying operator reads, through quantizers, and the operator."""
    for node in (n for n in graph.nodes if n.op_type in MULTIPLYING):
        for given in node.input[1:]:
            name, maker = given, graph.makers.get(given)
            while name not in graph.tensors and maker is not None and graph.constant(name):
                name = maker.input[0]
                maker = graph.makers.get(name)
            if name in graph.tensors:
                yield name, node


RULES = (
    Rule("operator", "error", _unsupported),
    Rule("late-operator", "warning", _later, until=(8, 6)),
    Rule("domain", "error", _domain),
    Rule("opset", "error", _opset),
    Rule("ir-version", "hint", _ir_version),
    Rule("wide-type", "warning", _double),
    Rule("wide-constant", "hint", _wide_constants),
    Rule("mixed-types", "error", _mixed),
    Rule("fp16-range", "error", _fp16_range),
    Rule("dynamic-shape", "error", _dynamic),
    Rule("channels", "hint", _channels),
    Rule("sparsity", "hint", _sparsity),
)
