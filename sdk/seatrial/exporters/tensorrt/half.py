"""A float32 graph in float16, with Casts where an operator must stay in float32.

All types are written into the graph, as strongly typed TensorRT wants them; older versions read the same file with
their flags. What stays in float32: quantizers (the parser of TensorRT 8 reads float32 scales only), operators that ONNX
does not define for float16, sizes that are computed from shapes, and nodes whose values leave float16's range on the
user's samples, with a margin, since other inputs will reach further. Inputs and outputs of the model stay as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ExportError

from ...verify.onnx_graph import Graph
from ..calibration import Ranges
from ..names import UNSAFE

if TYPE_CHECKING:
    import onnx

FLOAT, FLOAT16 = 1, 10
LARGEST = 65504.0
MARGIN = 4.0  # a value of 16376 on the samples may be 65504 on other inputs
MASKED = -1e30  # attention masks use such constants for "minus infinity", and mean it in float16, too
SIZES = ("Shape", "Size")
SINGLE = ("QuantizeLinear", "DequantizeLinear", "ConstantOfShape", "RandomNormalLike", "RandomUniformLike")


def too_wide(model: onnx.ModelProto, ranges: Ranges) -> dict[str, float]:
    """Return the nodes that float16 does not hold, with the largest value of each: activations with the margin,
    constants without. Masks (-1e30 and below) do not count: -65504 means the same."""
    graph, found = Graph.of(model), {}
    for node in (n for n in graph.nodes if n.op_type not in SINGLE):  # those are in float32 anyway
        read = (_unrounded(graph, name) for name in (*node.input, *node.output))
        moving = [_widest(*ranges[name]) for name in read if name in ranges]
        fixed = [_widest(*_extremes(graph, name)) for name in node.input if name in graph.tensors]
        if max(moving, default=0.0) > LARGEST / MARGIN or max(fixed, default=0.0) > LARGEST:
            found[str(node.name)] = max([*moving, *fixed])
    return found


def to_half(model: onnx.ModelProto, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Return a copy of ``model`` in float16; the nodes in ``keep`` stay in float32. Raises ExportError for a graph with
    subgraphs, or with tensors whose type ONNX can't infer."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = Graph.of(made)
    _refuse_subgraphs(made)
    _require_types(graph)
    converter = _Converter(graph, _single(graph, keep))
    nodes = [each for node in made.graph.node for each in converter.convert(node)]
    nodes += converter.outputs()
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(kept)
    _replace_constants(made, converter.constants)
    del made.graph.value_info[:]
    return made


class _Converter:
    """Rewrites node by node: each reads float tensors in its own type, through Casts that are made once per tensor."""

    def __init__(self, graph: Graph, single: set[str]) -> None:
        self._graph, self._single = graph, single
        self._half = {
            n for node in graph.nodes if node.name not in single for n in node.output if graph.type_of(n) == FLOAT
        }
        self._casts: dict[tuple[str, int], str] = {}
        self.constants: dict[str, Any] = {}

    def convert(self, node: Any) -> Iterator[Any]:
        """Yield the Casts that a node needs, then the node."""
        half = node.name not in self._single
        for index, name in enumerate(node.input):
            if self._graph.type_of(name) == FLOAT:
                wanted = FLOAT16 if half and _takes_half(self._graph, node, index) else FLOAT
                cast, node.input[index] = self._as(name, wanted)
                yield from cast
        if half:
            _write_in_half(node)
        yield node

    def outputs(self) -> Iterator[Any]:
        """Yield the Casts that give the model's outputs back in float32, each under its old name."""
        for value in self._graph.model.graph.output:
            if value.name in self._half:
                inside = f"{value.name}_half"
                for node in self._graph.model.graph.node:
                    node.output[:] = [inside if name == value.name else name for name in node.output]
                    node.input[:] = [inside if name == value.name else name for name in node.input]
                yield _cast(inside, value.name, FLOAT)

    def _as(self, name: str, wanted: int) -> tuple[list[Any], str]:
        """Return a float tensor in a type: the Cast to add, if any, and what to read."""
        if name in self._graph.tensors and name not in self._graph.makers:
            return [], self._constant(name, wanted)
        if (name in self._half) == (wanted == FLOAT16):
            return [], name
        new = (name, wanted) not in self._casts
        made = self._casts.setdefault((name, wanted), f"{name}_{'half' if wanted == FLOAT16 else 'single'}")
        return ([_cast(name, made, wanted)] if new else []), made

    def _constant(self, name: str, wanted: int) -> str:
        if wanted == FLOAT:
            return name
        values = self._graph.array(name)
        assert values is not None  # a constant
        clipped = np.where(np.isinf(values), values, np.clip(values, -LARGEST, LARGEST))
        self.constants[f"{name}_half"] = clipped.astype(np.float16)
        return f"{name}_half"


def _single(graph: Graph, keep: Collection[str]) -> set[str]:
    """Return the names of the nodes that stay in float32."""
    sizes = _sizes(graph)
    found = set(keep)
    for node in graph.nodes:
        floats = [index for index, name in enumerate(node.input) if graph.type_of(name) == FLOAT]
        refuses = bool(floats) and not any(_takes_half(graph, node, index) for index in floats)
        # What makes floats of nothing but integers (a size, a random seed) says its type in attributes of many kinds.
        makes = not floats and node.op_type != "Cast" and any(graph.type_of(name) == FLOAT for name in node.output)
        if node.op_type in SINGLE or refuses or makes or sizes.intersection(node.output):
            found.add(node.name)
    return found


def _sizes(graph: Graph) -> set[str]:
    """Return the tensors that are computed from sizes alone: they count past 2048, where float16 has no odd numbers."""
    found: set[str] = set()
    for node in graph.nodes:
        given = [name for name in node.input if name and not graph.constant(name)]
        if node.op_type in SIZES or (given and all(name in found for name in given)):
            found.update(node.output)
    return found


def _takes_half(graph: Graph, node: Any, index: int) -> bool:
    """Whether ONNX defines the operator for float16 at that input."""
    import onnx

    if node.domain not in ("", "ai.onnx"):
        return False
    schema = onnx.defs.get_schema(node.op_type, graph.opset, "")
    formal = schema.inputs[min(index, len(schema.inputs) - 1)]
    allowed = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}.get(
        formal.type_str, [formal.type_str]
    )
    return "tensor(float16)" in allowed


def _write_in_half(node: Any) -> None:
    for each in node.attribute:
        if node.op_type == "Cast" and each.name == "to" and each.i == FLOAT:
            each.i = FLOAT16


def _refuse_subgraphs(model: Any) -> None:
    import onnx

    for node in model.graph.node:
        if any(each.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for each in node.attribute):
            raise ExportError(
                f"{node.name}: {node.op_type} holds a graph of its own, which is not converted to float16; "
                "export for an fp32 target, or write that part without control flow"
            )


def _require_types(graph: Graph) -> None:
    for node in graph.nodes:
        for name in node.output:
            if name and not graph.type_of(name):
                raise ExportError(
                    f"{node.name}: the type of {node.op_type}'s output {name!r} can't be inferred, so that "
                    "its float16 form can't be written; export for an fp32 target"
                )


def _replace_constants(model: Any, constants: dict[str, Any]) -> None:
    import onnx

    read = {name for node in model.graph.node for name in node.input} | {each.name for each in model.graph.output}
    kept = [each for each in model.graph.initializer if each.name in read]
    made = [onnx.numpy_helper.from_array(values, name) for name, values in constants.items()]
    del model.graph.initializer[:]
    model.graph.initializer.extend([*kept, *made])


def _cast(source: str, made: str, kind: int) -> Any:
    import onnx

    return onnx.helper.make_node("Cast", [source], [made], to=kind, name=f"{UNSAFE.sub('_', made)}/Cast")


def _unrounded(graph: Graph, name: str) -> str:
    """Return the tensor that was rounded to make ``name``, which has its range; ``name`` where none was."""
    node = graph.dequantizer(name)
    quantizer = graph.maker(node.input[0]) if node is not None else None
    return str(quantizer.input[0]) if quantizer is not None else name


def _widest(low: float, high: float) -> float:
    return max(high, -low if low > MASKED else 0.0)


def _extremes(graph: Graph, name: str) -> tuple[float, float]:
    values = graph.array(name)
    if values is None or values.dtype.kind != "f":
        return 0.0, 0.0
    finite = values[np.isfinite(values)].astype(np.float64)
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
