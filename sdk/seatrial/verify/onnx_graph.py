"""An ONNX model as a checker walks it: who makes a tensor, who reads it, what is constant, which type it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ModelError

if TYPE_CHECKING:
    import numpy as np
    import onnx

PASSING = ("Cast", "Identity")  # between a quantizer and its reader these change nothing that a rule asks for


@dataclass(frozen=True)
class Graph:
    """All nodes of a model, those of its subgraphs too: ONNX forbids one name for two tensors that can meet."""

    model: onnx.ModelProto
    nodes: tuple[onnx.NodeProto, ...]
    makers: dict[str, onnx.NodeProto]
    readers: dict[str, list[onnx.NodeProto]]
    tensors: dict[str, onnx.TensorProto]  # initializers and Constant nodes
    types: dict[str, int] = field(default_factory=dict)  # element type, where it is known

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Graph:
        """Index ``model``; types are inferred where ONNX can. Raises ModelError when its nodes are not in order."""
        nodes = tuple(node for graph in _graphs(model.graph) for node in graph.node)
        _check_order(nodes)
        readers: dict[str, list[onnx.NodeProto]] = {}
        for node in nodes:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        makers = {name: node for node in nodes for name in node.output if name}
        return cls(model, nodes, makers, readers, _tensors(model, nodes), _types(model))

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return next((each.version for each in self.model.opset_import if each.domain in ("", "ai.onnx")), 0)

    def maker(self, name: str) -> onnx.NodeProto | None:
        """Return the node that makes a tensor, looking through casts; None for inputs and constants."""
        node = self.makers.get(name)
        while node is not None and node.op_type in PASSING:
            node = self.makers.get(node.input[0])
        return node

    def dequantizer(self, name: str) -> onnx.NodeProto | None:
        """Return the DequantizeLinear that makes a tensor, looking through casts."""
        node = self.maker(name)
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def only_readers(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes that read a tensor, looking through casts."""
        found: list[onnx.NodeProto] = []
        names = [name]
        while names:
            for node in self.readers.get(names.pop(0), []):
                if node.op_type in PASSING:
                    names.append(node.output[0])
                else:
                    found.append(node)
        return found

    def array(self, name: str) -> np.ndarray[Any, Any] | None:
        """Return a constant's value, looking through casts; None when it is not constant."""
        import onnx

        node = self.makers.get(name)
        while name not in self.tensors and node is not None and node.op_type in PASSING:
            name = node.input[0]
            node = self.makers.get(name)
        return onnx.numpy_helper.to_array(self.tensors[name]) if name in self.tensors else None

    def constant(self, name: str) -> bool:
        """Return whether a tensor is constant, looking through casts and quantizers."""
        while name not in self.tensors:
            node = self.makers.get(name)
            if node is None or node.op_type not in (*PASSING, "QuantizeLinear", "DequantizeLinear"):
                return False
            name = node.input[0]
        return True

    def type_of(self, name: str) -> int:
        """Return the element type of a tensor; 0 when it is not known."""
        return self.types.get(name) or (self.tensors[name].data_type if name in self.tensors else 0)


def read(path: Path) -> onnx.ModelProto:
    """Read an ONNX file with its external data. Raises ModelError when it is none."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path))
    except DecodeError as error:
        raise ModelError(f"{path}: is not an ONNX file: {error}") from error
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ModelError(f"{path}: can't be read: {str(error).splitlines()[0]}") from error
    if not model.graph.node:
        raise ModelError(f"{path}: is not an ONNX file, or has no operators")
    return model


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return the value of an attribute, or ``default``."""
    import onnx

    return next((onnx.helper.get_attribute_value(each) for each in node.attribute if each.name == name), default)


def label(node: onnx.NodeProto) -> str:
    """Return what a node is called; its first output where it has no name."""
    return str(node.name or next((name for name in node.output if name), "?"))


def _check_order(nodes: Iterable[onnx.NodeProto]) -> None:
    """A node that reads what a later one makes may be part of a ring, in which a search would never end."""
    read: set[str] = set()
    for node in nodes:
        read.update(node.input)
        backwards = sorted(read & set(node.output) - {""})
        if backwards:
            raise ModelError(f"the ONNX graph is damaged: {backwards[0]!r} is read before {label(node)!r} makes it")


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for each in node.attribute:
            for inner in (*([each.g] if each.HasField("g") else ()), *each.graphs):
                yield from _graphs(inner)


def _tensors(model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto]) -> dict[str, onnx.TensorProto]:
    import onnx

    found = {each.name: each for graph in _graphs(model.graph) for each in graph.initializer}
    for node in nodes:
        for each in node.attribute if node.op_type == "Constant" else ():
            if each.name == "value":
                found[node.output[0]] = each.t
            elif each.name in ("value_float", "value_int", "value_floats", "value_ints"):
                value = onnx.helper.get_attribute_value(each)
                kind = onnx.TensorProto.FLOAT if "float" in each.name else onnx.TensorProto.INT64
                shape = [len(value)] if isinstance(value, list) else []
                found[node.output[0]] = onnx.helper.make_tensor(each.name, kind, shape, value if shape else [value])
    return found


def _types(model: onnx.ModelProto) -> dict[str, int]:
    import onnx

    try:
        known = onnx.shape_inference.infer_shapes(model)
    except (ValueError, RuntimeError):  # over 2 GB, or an operator that inference does not take
        known = model
    values = (v for g in _graphs(known.graph) for v in (*g.input, *g.output, *g.value_info))
    return {v.name: v.type.tensor_type.elem_type for v in values if v.type.HasField("tensor_type")}
