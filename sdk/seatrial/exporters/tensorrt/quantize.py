"""From a float model, ranges of its activations and a placement to a model with explicit, symmetric Q/DQ pairs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..calibration import Ranges
from ..names import UNSAFE
from .placement import Placement

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

LEVELS = 127  # -127 to 127: -128 has no counterpart, and scales are symmetric
# For a tensor or channel that never varies. TensorRT refuses 0; this is small enough to lose nothing.
LEAST_SCALE = 2.0**-16
TINY = float(np.finfo(np.float32).tiny)
Weights = Literal["int8", "float"]
Stored = Literal["int8", "float", "rounded"]
TWIN = "::twin"


@dataclass(frozen=True)
class GivenWeight:
    """A weight that was quantized before: int8 values, and one scale per slice of ``axis``."""

    integers: NDArray[np.int8]
    scales: NDArray[np.float32]
    axis: int


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
    model: onnx.ModelProto,
    placement: Placement,
    scales: Mapping[str, np.float32],
    weights: Stored,
    given: Mapping[str, GivenWeight] = MappingProxyType({}),
) -> onnx.ModelProto:
    """Return a copy of ``model`` (float32) with Q/DQ pairs where ``placement`` says.

    ``given`` has the weights, by name, whose integers are known. ``weights``: "int8" stores integers behind a
    DequantizeLinear; "float" stores the rounded values as float32 behind both, for parsers that take no integers
    (TensorRT 8); "rounded" stores these without any quantizer, which is faster to compute here. The arithmetic is the
    same.
    """
    made, graph = _started(model, placement, scales, given)
    nodes = [each for value in made.graph.input for each in graph.pairs([value.name])]
    for node in made.graph.node:
        nodes += [*graph.read_quantized(node, placement, weights), node, *graph.pairs(node.output)]
    return graph.finished(nodes)


def with_twins(
    model: onnx.ModelProto,
    placement: Placement,
    scales: Mapping[str, np.float32],
    given: Mapping[str, GivenWeight] = MappingProxyType({}),
) -> onnx.ModelProto:
    """Return a copy of ``model`` (float32) in which each weighted node of ``placement`` has a quantized twin, called
    the same and `TWIN`, that reads the exact values and is read by nobody: what it alone would add."""
    import onnx

    made, graph = _started(model, placement, scales, given)
    nodes = [each for value in made.graph.input for each in graph.pairs([value.name])]
    for node in made.graph.node:
        nodes += [node, *graph.pairs(node.output)]
        if node.name in placement.weights:
            twin = onnx.NodeProto.FromString(node.SerializeToString())
            nodes += [*graph.read_quantized(twin, placement, "rounded"), twin]
            twin.name, twin.output[0] = f"{node.name}{TWIN}", f"{node.output[0]}{TWIN}"
    return graph.finished(nodes)


def _started(
    model: onnx.ModelProto,
    placement: Placement,
    scales: Mapping[str, np.float32],
    given: Mapping[str, GivenWeight],
) -> tuple[onnx.ModelProto, _Inserter]:
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    return made, _Inserter(made, {name: scales[name] for name in placement.tensors}, given)


class _Inserter:
    """Makes quantizers and their constants in one model. ``dequantized``: what to read instead of a tensor."""

    def __init__(
        self, model: onnx.ModelProto, scales: Mapping[str, np.float32], given: Mapping[str, GivenWeight]
    ) -> None:
        self._model, self._graph, self._scales, self._given = model, model.graph, scales, given
        self._weights = {each.name: each for each in model.graph.initializer}
        self._taken = {name for node in model.graph.node for name in (*node.input, *node.output)}
        self._done: dict[tuple[str, int], str] = {}
        self.dequantized = {name: self._fresh(f"{name}_dq") for name in scales}

    def pairs(self, tensors: Iterable[str]) -> list[Any]:
        """Return Q and DQ of those tensors that are quantized."""
        mine = [name for name in tensors if name in self._scales]
        constants = {name: self._constants(name, self._scales[name], np.int8(0)) for name in mine}
        return [each for name in mine for each in self._pair(name, constants[name], self.dequantized[name])]

    def read_quantized(self, node: Any, placement: Placement, stored: Stored) -> list[Any]:
        """Let a node read its quantized inputs, and return what its weight needs for that."""
        name = node.name
        made = self._weight(node, placement.weights[name], stored) if name in placement.weights else []
        for index in range(len(node.input)):
            tensor = placement.edges.get((name, index))
            if tensor is not None:
                node.input[index] = self.dequantized[tensor]
        return made

    def finished(self, nodes: list[Any]) -> onnx.ModelProto:
        """Put the nodes into the model, remove the weights that nobody reads any more, and return it."""
        import onnx

        kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del self._graph.node[:], self._graph.value_info[:]
        self._graph.node.extend(kept)
        read = {name for node in kept for name in node.input} | {each.name for each in self._graph.output}
        for each in [each for each in self._graph.initializer if each.name not in read]:
            self._graph.initializer.remove(each)
        return self._model

    def _weight(self, node: Any, axis: int, stored: Stored) -> list[Any]:
        """Return what stands before a node's weight, and let the node read it; a shared weight is made once."""
        import onnx

        name = node.input[1]
        if (name, axis) in self._done:
            node.input[1] = self._done[name, axis]
            return []
        values = onnx.numpy_helper.to_array(self._weights[name])
        given = self._given.get(name)
        scales = weight_scales(values, axis) if given is None else given.scales
        integers = quantized(values, scales, axis) if given is None else given.integers
        rounded = integers.astype(np.float32) * _along(scales, axis, values.ndim)
        if stored == "rounded":
            self._done[name, axis] = node.input[1] = self._add(f"{name}_rounded", rounded)
            return []
        constants = self._constants(name, scales, np.zeros(len(scales), np.int8))
        self._done[name, axis] = node.input[1] = self._fresh(f"{name}_dq")
        if stored == "int8":
            return [_node("DequantizeLinear", [self._add(f"{name}_q", integers), *constants], node.input[1], axis)]
        return self._pair(self._add(f"{name}_rounded", rounded), constants, node.input[1], axis)

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
