"""Operators written with older ones, by ONNX's own definition of them, for opsets that do not have them yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

FLOAT, FLOAT16 = 1, 10


class Writer:
    """Collects the nodes and constants that stand for one node; they keep its metadata."""

    def __init__(self, node: onnx.NodeProto, kind: int) -> None:
        self.node, self.kind = node, kind
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def add(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; return the name of what it makes."""
        import onnx

        made = output or f"{self.node.output[0]}_{op}_{len(self.nodes)}"
        node = onnx.helper.make_node(op, list(inputs), [made], name=f"{self.node.name}_{len(self.nodes)}", **attributes)
        node.metadata_props.extend(self.node.metadata_props)
        self.nodes.append(node)
        return made

    def constant(self, value: float) -> str:
        """Return the name of a scalar of the node's own type."""
        import onnx

        array = np.asarray(value, np.float16 if self.kind == FLOAT16 else np.float32)
        name = f"{self.node.output[0]}_constant_{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(array, name))
        return name

    def attribute(self, name: str, default: Any) -> Any:
        """Return an attribute of the node."""
        import onnx

        found = (onnx.helper.get_attribute_value(each) for each in self.node.attribute if each.name == name)
        return next(found, default)


def _hard_swish(to: Writer) -> None:
    (x,) = to.node.input
    to.add("Mul", x, to.add("HardSigmoid", x, alpha=1 / 6, beta=0.5), output=to.node.output[0])


def _mish(to: Writer) -> None:
    (x,) = to.node.input
    to.add("Mul", x, to.add("Tanh", to.add("Softplus", x)), output=to.node.output[0])


def _layer_normalization(to: Writer) -> None:
    """(x - mean) / sqrt(variance + epsilon) over the last axis, times scale, plus bias."""
    x, *rest = to.node.input
    centred = to.add("Sub", x, to.add("ReduceMean", x, axes=[-1]))
    variance = to.add("ReduceMean", to.add("Mul", centred, centred), axes=[-1])
    deviation = to.add("Sqrt", to.add("Add", variance, to.constant(to.attribute("epsilon", 1e-5))))
    normal = to.add("Div", centred, deviation)
    for op, name in zip(("Mul", "Add"), rest, strict=False):
        normal = to.add(op, normal, name) if name else normal
    to.nodes[-1].output[0] = to.node.output[0]


# Operator -> the opset that it came with, and how it is written before.
FORMS: dict[str, tuple[int, Callable[[Writer], None]]] = {
    "HardSwish": (14, _hard_swish),
    "LayerNormalization": (17, _layer_normalization),
    "Mish": (18, _mish),
}


def rewritten(model: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """Return a copy of ``model`` without the operators of `FORMS` that ``opset`` does not have."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    types = {
        each.name: each.type.tensor_type.elem_type for each in onnx.shape_inference.infer_shapes(model).graph.value_info
    }
    nodes: list[Any] = []
    for node in made.graph.node:
        since, write = FORMS.get(node.op_type, (0, None))
        if write is None or since <= opset or not _simple(node):
            nodes.append(node)
            continue
        writer = Writer(node, types.get(node.output[0], FLOAT))
        write(writer)
        nodes += writer.nodes
        made.graph.initializer.extend(writer.constants)
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(kept)
    return made


def _simple(node: onnx.NodeProto) -> bool:
    """Whether a node is of the form that is rewritten: one output, and a normalisation over the last axis alone."""
    axis = next((each.i for each in node.attribute if each.name == "axis"), -1)
    return node.domain in ("", "ai.onnx") and len([name for name in node.output if name]) == 1 and axis == -1
