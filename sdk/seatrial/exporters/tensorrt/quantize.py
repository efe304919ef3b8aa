"""From a float model, ranges of its activations and a placement to a model with explicit, symmetric Q/DQ pairs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..calibration import Ranges
from .names import UNSAFE
from .placement import Placement

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

LEVELS = 127  # -127 to 127: -128 has no counterpart, and scales are symmetric
# For a tensor or channel that never varies. TensorRT refuses 0; this is small enough to lose nothing.
LEAST_SCALE = 2.0**-16
TINY = float(np.finfo(np.float32).tiny)
Weights = Literal["int8", "float"]


def activation_scales(ranges: Ranges, placement: Placement) -> dict[str, np.float32]:
    """Return the scale of each quantized activation; tensors of one group share the largest."""
    widest: dict[str, float] = {}
    for name in placement.tensors:
        low, high = ranges[name]
        group = placement.groups[name]
        widest[group] = max(widest.get(group, 0.0), -low, high)
    return {name: _scale(widest[placement.groups[name]]) for name in placement.tensors}


def weight_scales(values: NDArray[Any], axis: int) -> NDArray[np.float32]:
    """Return one scale per slice of ``axis``, such that its largest value becomes 127.

    >>> weight_scales(np.array([[1.0, -2.0], [0.0, 0.0]]), 0) * 127
    array([2.        , 0.00193787], dtype=float32)
    """
    others = tuple(i for i in range(values.ndim) if i != axis)
    widest = np.abs(values.astype(np.float64)).max(axis=others)
    return np.where(widest > 0, np.maximum(widest / LEVELS, TINY), LEAST_SCALE).astype(np.float32)


def quantized(values: NDArray[Any], scales: NDArray[np.float32], axis: int) -> NDArray[np.int8]:
    """Return ``values`` as integers of -127 to 127, rounded half to even as QuantizeLinear does."""
    steps = values.astype(np.float32) / _along(scales, axis, values.ndim)
    made: NDArray[np.int8] = np.clip(np.rint(steps), -LEVELS, LEVELS).astype(np.int8)
    return made


def with_quantizers(
    model: onnx.ModelProto, placement: Placement, scales: Mapping[str, np.float32], weights: Weights
) -> onnx.ModelProto:
    """Return a copy of ``model`` (float32) with Q/DQ pairs where ``placement`` says.

    ``weights``: "int8" stores integers behind a DequantizeLinear; "float" stores the rounded values as float32 behind
    both, for parsers that take no integers (TensorRT 8). The arithmetic is the same.
    """
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = _Inserter(made, scales)
    nodes = [node for value in made.graph.input if value.name in scales for node in graph.pair(value.name)]
    for node in made.graph.node:
        if node.name in placement.weights:
            nodes += graph.weight(node, placement.weights[node.name], weights)
        for (name, index), tensor in placement.edges.items():
            if name == node.name:
                node.input[index] = graph.dequantized[tensor]
        nodes.append(node)
        nodes += [each for name in node.output if name in scales for each in graph.pair(name)]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del made.graph.node[:]
    made.graph.node.extend(kept)
    graph.drop_unread()
    del made.graph.value_info[:]
    return made


class _Inserter:
    """Makes quantizers and their constants in one model. ``dequantized``: what to read instead of a tensor."""

    def __init__(self, model: onnx.ModelProto, scales: Mapping[str, np.float32]) -> None:
        self._graph, self._scales = model.graph, scales
        self._weights = {each.name: each for each in model.graph.initializer}
        self._taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
        self._done: dict[tuple[str, int], str] = {}
        self.dequantized = {name: self._fresh(f"{name}_dq") for name in scales}

    def pair(self, tensor: str) -> list[Any]:
        """Return Q and DQ of an activation."""
        return self._pair(tensor, self._constants(tensor, self._scales[tensor], np.int8(0)), self.dequantized[tensor])

    def weight(self, node: Any, axis: int, stored: Weights) -> list[Any]:
        """Return what stands before a node's weight, and let the node read it; a shared weight is made once."""
        import onnx

        name = node.input[1]
        if (name, axis) in self._done:
            node.input[1] = self._done[name, axis]
            return []
        values = onnx.numpy_helper.to_array(self._weights[name])
        scales = weight_scales(values, axis)
        integers = quantized(values, scales, axis)
        constants = self._constants(name, scales, np.zeros(len(scales), np.int8))
        self._done[name, axis] = node.input[1] = self._fresh(f"{name}_dq")
        if stored == "int8":
            return [_node("DequantizeLinear", [self._add(f"{name}_q", integers), *constants], node.input[1], axis)]
        rounded = integers.astype(np.float32) * _along(scales, axis, values.ndim)
        return self._pair(self._add(f"{name}_rounded", rounded), constants, node.input[1], axis)

    def drop_unread(self) -> None:
        """Remove the float weights that nobody reads any more."""
        read = {name for node in self._graph.node for name in node.input} | {each.name for each in self._graph.output}
        for each in [each for each in self._graph.initializer if each.name not in read]:
            self._graph.initializer.remove(each)

    def _pair(self, source: str, constants: list[str], made: str, axis: int | None = None) -> list[Any]:
        between = self._fresh(f"{source}_q")
        return [
            _node("QuantizeLinear", [source, *constants], between, axis),
            _node("DequantizeLinear", [between, *constants], made, axis),
        ]

    def _constants(self, name: str, scale: Any, zero: Any) -> list[str]:
        return [self._add(f"{name}_scale", np.asarray(scale)), self._add(f"{name}_zero", np.asarray(zero))]

    def _add(self, name: str, values: NDArray[Any]) -> str:
        import onnx

        self._graph.initializer.append(onnx.numpy_helper.from_array(values, self._fresh(name)))
        return str(self._graph.initializer[-1].name)

    def _fresh(self, name: str) -> str:
        while name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def _node(kind: str, inputs: list[str], output: str, axis: int | None = None) -> Any:
    import onnx

    attributes = {} if axis is None else {"axis": axis}
    return onnx.helper.make_node(kind, inputs, [output], name=f"{UNSAFE.sub('_', output)}/{kind}", **attributes)


def _along(scales: NDArray[np.float32], axis: int, rank: int) -> NDArray[np.float32]:
    return scales.reshape([-1 if i == axis else 1 for i in range(rank)])


def _scale(widest: float) -> np.float32:
    return np.float32(max(widest / LEVELS, TINY) if widest > 0 else LEAST_SCALE)
