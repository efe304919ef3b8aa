"""Rules on where quantizers stand: what NVIDIA's compiler fuses into one INT8 kernel, and what breaks that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..onnx_graph import Graph
from .finding import Context, Problem, Rule
from .quantizers import quantizers

if TYPE_CHECKING:
    import onnx

CONVOLVING = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What moves values without changing them.
MOVING = ("Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Slice", "DepthToSpace", "SpaceToDepth")
ACTIVATIONS = ("Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "HardSigmoid", "HardSwish")


def _unfolded(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type == "BatchNormalization"):
        before = graph.maker(node.input[0])
        if before is None or before.op_type not in ("Conv", "ConvTranspose") or not _once(graph, before):
            continue  # what reads the convolution beside it needs the values as they are
        if graph.dequantizer(before.input[1]) is not None:
            text = "stands behind a convolution: its scales were not folded into the weights before they were quantized"
            yield Problem(node, text, "fold batch normalization into the convolution, then quantize")
        else:
            text = "stands behind a convolution, and could be part of its weights"
            yield Problem(node, text, "fold batch normalization into the convolution", severity="hint")


def _before_activation(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type == "QuantizeLinear"):
        before = graph.maker(node.input[0])
        after = [r for d in graph.only_readers(node.output[0]) for r in graph.only_readers(d.output[0])]
        if before is not None and before.op_type in CONVOLVING and any(r.op_type in ACTIVATIONS for r in after):
            text = f"stands between {before.op_type} and its activation, which so can't be fused"
            yield Problem(node, text, "quantize behind the activation instead")


def _at_output(graph: Graph, context: Context) -> Iterator[Problem]:
    for output in graph.model.graph.output:
        node = graph.dequantizer(output.name)
        if node is not None:
            text = f"rounds the output {output.name!r} to 8 bits, and saves nothing"
            yield Problem(node, text, "leave the last tensor in floating point")


def _residual(graph: Graph, context: Context) -> Iterator[Problem]:
    """Conv + bias + Add + Relu + Q fuse when the convolution's branch enters the Add as it is, the other through DQ."""
    for node in (n for n in graph.nodes if n.op_type == "Add"):
        branches = [graph.dequantizer(name) for name in node.input]
        made = [_quantized(graph, each) for each in branches]
        if all(branch is not None for branch in branches):
            convolved = next((m for m in made if m is not None and m.op_type in CONVOLVING and _once(graph, m)), None)
            if convolved is not None:
                text = (
                    f"its branch from {convolved.op_type} {convolved.name!r} is quantized, too, which breaks the fusion"
                )
                yield Problem(node, text, "quantize the residual branch only")
        elif _loose(graph, node):
            text = "adds to an INT8 convolution a residual in floating point: the sum runs as a kernel of its own"
            yield Problem(node, text, "quantize the residual branch (not the convolution's)", severity="hint")


def _shared_scale(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type == "Concat"):
        scales = _scales(graph, [graph.dequantizer(name) for name in node.input])
        if len(scales) > 1 and max(scales) > min(scales):
            text = f"joins tensors of {len(set(scales))} scales ({min(scales):.3g} to {max(scales):.3g})"
            yield Problem(node, f"{text}; TensorRT must rescale them", "let all inputs of a Concat share one scale")


def _pool_scale(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type == "MaxPool"):
        behind = [r for r in graph.only_readers(node.output[0]) if r.op_type == "QuantizeLinear"]
        scales = _scales(graph, [graph.dequantizer(node.input[0]), *behind])
        if behind and len(scales) > 1 and max(scales) > min(scales):
            text = f"goes from scale {scales[0]:.3g} to {scales[1]:.3g}, though a maximum invents no values"
            yield Problem(node, text, "use the scale of its input behind it, too")


def _moved_scale(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type in MOVING):
        before = graph.dequantizer(node.input[0])
        behind = [r for r in graph.only_readers(node.output[0]) if r.op_type == "QuantizeLinear"]
        scales = _scales(graph, [before, *behind]) if before is not None and behind else []
        if len(scales) > 1 and max(scales) > min(scales):
            text = f"goes from scale {scales[0]:.3g} to {scales[1]:.3g}, though it only moves values"
            yield Problem(node, text, "use the scale of its input behind it, too")


def _alone(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in quantizers(graph):
        readers = graph.only_readers(node.output[0])
        if node.op_type == "QuantizeLinear" and any(r.op_type != "DequantizeLinear" for r in readers):
            other = next(r for r in readers if r.op_type != "DequantizeLinear")
            text = f"{other.op_type} reads its integers without a DequantizeLinear between"
            yield Problem(node, text, "put a DequantizeLinear of the same scale behind every QuantizeLinear")


def _transposed(graph: Graph, context: Context) -> Iterator[Problem]:
    for node in (n for n in graph.nodes if n.op_type == "ConvTranspose"):
        if all(graph.dequantizer(name) is not None for name in node.input[:2]):
            text = "is a transposed convolution, which NVIDIA's current compiler ran in floating point when we tried"
            yield Problem(node, text, "expect no INT8 speed here; upsampling with a convolution behind it gets it")


def _quantized(graph: Graph, dequantizer: onnx.NodeProto | None) -> Any:
    """Return the node whose output the pair behind ``dequantizer`` quantizes."""
    quantizer = graph.maker(dequantizer.input[0]) if dequantizer is not None else None
    return graph.maker(quantizer.input[0]) if quantizer is not None else None


def _once(graph: Graph, node: onnx.NodeProto) -> bool:
    return len(graph.only_readers(node.output[0])) == 1


def _loose(graph: Graph, add: onnx.NodeProto) -> bool:
    makers = [graph.maker(name) for name in add.input]
    inside = [m for m in makers if m is not None and m.op_type == "Conv" and graph.dequantizer(m.input[0]) is not None]
    constant = any(graph.constant(name) for name in add.input)
    return bool(inside) and not constant and all(graph.dequantizer(name) is None for name in add.input)


def _scales(graph: Graph, nodes: list[onnx.NodeProto | None]) -> list[float]:
    arrays = [graph.array(node.input[1]) for node in nodes if node is not None]
    return [float(np.max(array)) for array in arrays if array is not None]


RULES = (
    Rule("batch-norm", "warning", _unfolded),
    Rule("before-activation", "warning", _before_activation),
    Rule("quantized-output", "hint", _at_output),
    Rule("residual-add", "warning", _residual),
    Rule("concat-scale", "warning", _shared_scale),
    Rule("max-pool-scale", "warning", _pool_scale),
    Rule("moved-scale", "hint", _moved_scale),
    Rule("transposed-convolution", "hint", _transposed),
    Rule("lone-quantizer", "error", _alone),
)
