"""Where quantizers go so that NVIDIA's compiler fuses them: before what multiplies, and nowhere that breaks a fusion.

- The input and the weight of each convolution and matrix product, or neither. Never the output: so nothing stands
  between a convolution and its activation, and graph outputs stay in floating point.
- At an Add that ends a residual block, the other branch only: convolution, bias, Add, activation and the next quantizer
  then become one INT8 kernel.
- In front of MaxPool and Concat when what comes behind is quantized, with one scale for all of it: a maximum and a copy
  invent no values, so integers can pass through.

Sources: NVIDIA's documentation on explicit quantization ("Q/DQ layer-placement recommendations"), and what the compiler
of TensorRT-RTX made of each choice.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...verify.onnx_graph import Graph
from ...verify.tensorrt.placement import MOVING
from ...verify.tensorrt.quantizers import output_axis

if TYPE_CHECKING:
    import onnx

MULTIPLYING = ("Conv", "Gemm", "MatMul")
RECURRENT = ("LSTM", "GRU", "RNN")
Edge = tuple[str, int]  # node, index of its input


@dataclass
class Placement:
    """Which edges read a quantized activation, which weights are quantized along which axis, which tensors share a
    scale (``groups``: tensor -> its group's name), and which weighted nodes stay in floating point, and why."""

    edges: dict[Edge, str] = field(default_factory=dict)
    weights: dict[str, int] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)

    @property
    def tensors(self) -> tuple[str, ...]:
        """The quantized activations, each once."""
        return tuple(dict.fromkeys(self.edges.values()))

    def without(self, node: str) -> Placement:
        """Return the placement in which a weighted node reads floats, and all else is as it was."""
        return Placement(
            {edge: tensor for edge, tensor in self.edges.items() if edge[0] != node},
            {name: axis for name, axis in self.weights.items() if name != node},
            self.groups,
            self.left,
        )


def place(graph: Graph, keep: Collection[str] = ()) -> Placement:
    """Return where to quantize ``graph``, a float model; the nodes in ``keep`` stay as they are."""
    found = Placement()
    for node in graph.nodes:
        if node.op_type in (*MULTIPLYING, "ConvTranspose"):
            reason = "kept by you" if node.name in keep else _obstacle(graph, node)
            if reason:
                found.left[node.name] = reason
            else:
                found.edges[node.name, 0] = node.input[0]
                found.weights[node.name] = output_axis(node, len(graph.tensors[node.input[1]].dims))
        elif node.op_type in RECURRENT:
            found.left[node.name] = "recurrent layers have no INT8 form"
    for node in (n for n in graph.nodes if n.op_type == "Add"):
        other = residual(graph, node, found)
        if other is not None:
            found.edges[node.name, other] = node.input[other]
    _through(graph, found, keep)
    _group(graph, found)
    return found


def _obstacle(graph: Graph, node: onnx.NodeProto) -> str:
    weight = graph.tensors.get(node.input[1])
    if node.op_type == "ConvTranspose":
        return "NVIDIA's compiler runs transposed convolutions in floating point"
    if weight is None:
        return "its second factor is computed, not a weight"
    if node.op_type == "MatMul" and len(weight.dims) != 2:
        return "its weight is no matrix"
    if graph.constant(node.input[0]):
        return "its input is constant"
    return ""


def residual(graph: Graph, add: onnx.NodeProto, found: Placement) -> int | None:
    """Return which input of an Add to quantize: the one that does not come from the convolution to fuse with.

    None when neither comes from one.
    """
    if any(graph.constant(name) for name in add.input):
        return None
    order = {node.name: i for i, node in enumerate(graph.nodes)}
    ends = [_end_of_branch(graph, name, found) for name in add.input]
    main = max((i for i in (0, 1) if ends[i] is not None), key=lambda i: order[ends[i] or ""], default=None)
    return None if main is None else 1 - main


def _end_of_branch(graph: Graph, name: str, found: Placement) -> str | None:
    """Return the quantized node that makes ``name``, a bias added behind it included, if nothing else reads it."""
    node = graph.makers.get(name)
    if node is not None and node.op_type == "Add" and _alone(graph, name):
        given = [each for each in node.input if not graph.constant(each)]
        name = given[0] if len(given) == 1 else name
        node = graph.makers.get(name)
    quantized = node is not None and node.name in found.weights
    return str(node.name) if node is not None and quantized and _alone(graph, name) else None


def _alone(graph: Graph, name: str) -> bool:
    return len(graph.readers.get(name, [])) == 1 and name not in {each.name for each in graph.model.graph.output}


def _through(graph: Graph, found: Placement, keep: Collection[str]) -> None:
    """Quantize in front of MaxPool and Concat, too, where their output is; from the end of the graph to its start."""
    for node in reversed(graph.nodes):
        wanted = node.op_type in ("MaxPool", "Concat") and node.name not in keep
        if wanted and node.output[0] in found.edges.values() and not any(map(graph.constant, node.input)):
            for index, name in enumerate(node.input if node.op_type == "Concat" else node.input[:1]):
                found.edges[node.name, index] = name


def _group(graph: Graph, found: Placement) -> None:
    tensors = set(found.tensors)
    names = {name: name for name in tensors}

    def root(name: str) -> str:
        while names[name] != name:
            name = names[name]
        return name

    for node in graph.nodes:
        if node.op_type in ("MaxPool", "Concat", *MOVING):
            inputs = node.input if node.op_type == "Concat" else node.input[:1]
            for name in inputs:
                if name in tensors and node.output[0] in tensors:
                    names[root(name)] = root(node.output[0])
    found.groups.update({name: root(name) for name in tensors})
