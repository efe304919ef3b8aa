"""Take the quantization that a model brings along (QAT, or PTQ in torch) as it is: scales, integers, places.

The quantizers are taken out of the graph and described as a `Placement`, so that such a model goes the same way as one
that is calibrated here, and ends in the same forms. One thing is changed: where both inputs of a residual Add are
quantized, the convolution's is read unrounded, since NVIDIA's compiler fuses the two only so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ExportError

from ...verify.onnx_graph import Graph, attribute
from .placement import MULTIPLYING, Placement, residual
from .quantize import GivenWeight

if TYPE_CHECKING:
    import onnx

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
AGAIN = "quantize it again as symmetric int8, or export it for ONNX Runtime"


@dataclass(frozen=True)
class Adopted:
    """The model in floating point, with the values that its weights were rounded to, and its quantization. ``freed``:
    how many residual additions now read their convolution unrounded."""

    model: onnx.ModelProto
    placement: Placement
    scales: dict[str, np.float32]
    weights: dict[str, GivenWeight]
    freed: int


def is_quantized(model: onnx.ModelProto) -> bool:
    """Return whether a model has quantizers in it."""
    return any(node.op_type in QUANTIZERS for node in model.graph.node)


def adopt(model: onnx.ModelProto) -> Adopted:
    """Take the quantizers out of ``model``. Raises ExportError when they are not what TensorRT takes."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = Graph.of(made)
    for node in (n for n in graph.nodes if n.op_type in QUANTIZERS):
        _require_symmetric(graph, node)
    extractor = _Extractor(graph)
    nodes = extractor.nodes()
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:], made.graph.value_info[:]
    made.graph.node.extend(kept)
    extractor.store(made)
    placement = Placement(extractor.edges, groups={name: name for name in extractor.scales})
    plain = Graph.of(made)
    _place_weights(plain, placement, extractor.weights)
    freed = _free_residuals(plain, placement)
    return Adopted(made, placement, extractor.scales, extractor.weights, freed)


class _Extractor:
    """Walks the graph once and notes what each quantizer says."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._float: dict[str, str] = {}  # what a quantizer makes -> the float tensor to read instead
        self._scale_of: dict[str, np.float32] = {}  # of what a DequantizeLinear makes
        self._arrays: dict[str, Any] = {}
        self.edges: dict[tuple[str, int], str] = {}
        self.scales: dict[str, np.float32] = {}
        self.weights: dict[str, GivenWeight] = {}

    def nodes(self) -> Iterator[Any]:
        """Yield the nodes that stay, rewired."""
        for node in self._graph.model.graph.node:
            if node.op_type in QUANTIZERS:
                yield from self._take_out(node)
                continue
            for index, name in enumerate(node.input):
                if name in self._scale_of:
                    yield from self._read(node, index, name)
                elif name in self._float:
                    node.input[index] = self._float[name]
            yield from [] if self._transposed(node) else [node]
        yield from self._ends()

    def store(self, model: onnx.ModelProto) -> None:
        """Put the float values of the weights into ``model``, and remove what is not read any more."""
        import onnx

        read = {name for node in model.graph.node for name in node.input} | {each.name for each in model.graph.output}
        kept = [each for each in model.graph.initializer if each.name in read and each.name not in self._arrays]
        made = [onnx.numpy_helper.from_array(v, name) for name, v in self._arrays.items() if name in read]
        del model.graph.initializer[:]
        model.graph.initializer.extend([*kept, *made])

    def _take_out(self, node: Any) -> Iterator[Any]:
        source = node.input[0]
        if self._graph.constant(source):
            if node.op_type == "DequantizeLinear":
                self._weight(node)
        elif node.op_type == "QuantizeLinear":
            self._float[node.output[0]] = self._float.get(source, source)
        else:
            self._float[node.output[0]] = self._float[source]
            self._scale_of[node.output[0]] = np.float32(self._constant(node.input[1]).reshape(()))
        yield from ()

    def _read(self, node: Any, index: int, name: str) -> Iterator[Any]:
        """Let a node read the float tensor, and note that it reads it quantized."""
        import onnx

        tensor, scale = self._float[name], self._scale_of[name]
        while self.scales.get(tensor, scale) != scale:
            # One tensor with two scales: the second gets a name of its own.
            alias = f"{tensor}_again"
            if alias not in self.scales:
                yield onnx.helper.make_node("Identity", [tensor], [alias], name=f"{alias}/Identity")
            tensor = alias
        self.scales[tensor] = scale
        self.edges[node.name, index] = tensor
        node.input[index] = tensor

    def _weight(self, node: Any) -> None:
        name, scales = node.input[0], self._constant(node.input[1]).astype(np.float32)
        quantizer = self._graph.makers.get(name)
        values = self._constant(quantizer.input[0] if quantizer is not None else name)
        axis = int(attribute(node, "axis", 1)) % max(values.ndim, 1)
        vector = np.broadcast_to(scales.reshape(-1), values.shape[axis : axis + 1]).copy()
        steps = vector.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        integers = values if quantizer is None else np.clip(np.rint(values / steps), -128, 127)
        made = name if quantizer is None else quantizer.input[0]
        self._arrays[made] = integers.astype(np.float32) * steps
        self.weights[made] = GivenWeight(integers.astype(np.int8), vector, axis)
        self._float[node.output[0]] = made

    def _transposed(self, node: Any) -> bool:
        """Whether a node transposes a weight: that is done here, since a quantizer must stand behind it."""
        given = self.weights.get(node.input[0]) if node.op_type == "Transpose" else None
        if given is None:
            return False
        order = list(attribute(node, "perm", list(range(given.integers.ndim))[::-1]))
        name = f"{node.input[0]}_transposed"
        self.weights[name] = GivenWeight(given.integers.transpose(order), given.scales, order.index(given.axis))
        self._arrays[name] = np.ascontiguousarray(self._arrays[node.input[0]].transpose(order))
        self._float[node.output[0]] = name
        return True

    def _ends(self) -> Iterator[Any]:
        """An output of the model that was rounded is given as it is before."""
        import onnx

        for value in self._graph.model.graph.output:
            if value.name in self._float:
                yield onnx.helper.make_node(
                    "Identity", [self._float[value.name]], [value.name], name=f"{value.name}/Identity"
                )

    def _constant(self, name: str) -> Any:
        value = self._graph.array(name)
        if value is None:
            raise ExportError(f"the model's quantization finds {name!r} while it runs; {AGAIN}")
        return value


def _require_symmetric(graph: Graph, node: Any) -> None:
    zero = graph.array(node.input[2]) if len(node.input) > 2 and node.input[2] else None
    kind = str(zero.dtype) if zero is not None else "uint8"
    if kind != "int8" or zero is None:
        raise ExportError(f"the model is quantized to {kind} ({node.name}); TensorRT takes int8: {AGAIN}")
    if np.any(zero):
        raise ExportError(f"the model is quantized with a zero point ({node.name}); TensorRT takes 0 alone: {AGAIN}")
    scale = graph.array(node.input[1])
    if scale is not None and scale.size > 1 and not graph.constant(node.input[0]):
        raise ExportError(f"the model quantizes an activation per channel ({node.name}); TensorRT does not: {AGAIN}")


def _place_weights(graph: Graph, placement: Placement, weights: dict[str, GivenWeight]) -> None:
    for node in graph.nodes:
        if node.op_type in (*MULTIPLYING, "ConvTranspose") and node.input[1] in weights:
            placement.weights[node.name] = weights[node.input[1]].axis
        elif node.op_type in MULTIPLYING:
            placement.left[node.name] = "not quantized in the model"


def _free_residuals(graph: Graph, placement: Placement) -> int:
    freed = 0
    for node in (n for n in graph.nodes if n.op_type == "Add"):
        other = residual(graph, node, placement)
        if other is not None and all((node.name, i) in placement.edges for i in (0, 1)):
            del placement.edges[node.name, 1 - other]
            freed += 1
    return freed
