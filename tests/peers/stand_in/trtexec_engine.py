"""What computes for the stand-in for trtexec: ONNX Runtime, or a few operators in plain Python where that is too slow.

Under emulation, importing numpy and ONNX Runtime takes a minute; a convolution of 4 channels takes none of it.
"""

from __future__ import annotations

import itertools
import math
import struct
from typing import Any, NamedTuple

from trtexec_onnx import Node, fields, nodes_of

# ONNX's element types that plain Python computes with: struct's letter
TYPES = {1: "f", 3: "b", 6: "i", 7: "q"}
NUMPY = {"float": "f4", "float16": "f2", "double": "f8", "bool": "?"}  # ONNX Runtime's words to numpy's


class Array(NamedTuple):
    """A tensor: its shape, and its values in C order."""

    shape: list[int]
    values: list[Any]

    def copy(self) -> Array:
        """A copy, as numpy's arrays have it."""
        return Array(self.shape, list(self.values))


class OrtEngine:
    """ONNX Runtime with its optimiser off."""

    def __init__(self, model: bytes, profile: str = "") -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads, options.log_severity_level = 1, 4
        if profile:
            options.enable_profiling, options.profile_file_prefix = True, profile
        self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.inputs = {each.name: list(each.shape) for each in self.session.get_inputs()}
        self.types = {each.name: each.type[7:-1] for each in self.session.get_inputs()}
        self.outputs = [each.name for each in self.session.get_outputs()]

    def size(self, name: str) -> int:
        """Bytes of one element."""
        return int(self._dtype(name).itemsize)

    def tensor(self, name: str, shape: list[int], raw: bytes | None) -> Any:
        """An input of raw little-endian values, or of random ones."""
        import numpy

        if raw is None:
            return numpy.random.default_rng().random(shape).astype(self._dtype(name))
        return numpy.frombuffer(raw, self._dtype(name)).reshape(shape)

    def infer(self, feed: dict[str, Any]) -> list[Any]:
        """One inference."""
        return list(self.session.run(None, feed))

    def array(self, value: Any) -> Array:
        """An output as plain numbers."""
        return Array(list(value.shape), value.reshape(-1).tolist())

    def _dtype(self, name: str) -> Any:
        import numpy

        return numpy.dtype(NUMPY.get(self.types[name], self.types[name]))


class PlainEngine:
    """QuantizeLinear, DequantizeLinear and Conv (one group, stride 1, equal pads), in Python."""

    def __init__(self, model: bytes, profile: str = "") -> None:
        graph = next(value for number, value in fields(model) if number == 7)
        self.nodes = nodes_of(model)
        self.constants = dict(_tensor(value) for number, value in fields(graph) if number == 5)
        self.pads = {node.name: _pad(value) for node, value in zip(self.nodes, _node_bytes(graph), strict=True)}
        self.inputs = dict(_value_info(value) for number, value in fields(graph) if number == 11)
        self.outputs = [_value_info(value)[0] for number, value in fields(graph) if number == 12]

    def size(self, name: str) -> int:
        """Bytes of one element: inputs are float32."""
        return 4

    def tensor(self, name: str, shape: list[int], raw: bytes | None) -> Array:
        """An input of raw values, or of zeros."""
        count = math.prod(shape)
        return Array(shape, list(struct.unpack(f"<{count}f", raw or bytes(4 * count))))

    def infer(self, feed: dict[str, Array]) -> list[Array]:
        """One inference."""
        known = {**self.constants, **feed}
        for node in self.nodes:
            known[node.outputs[0]] = self._apply(node, [known[name] for name in node.inputs])
        return [known[name] for name in self.outputs]

    def array(self, value: Array) -> Array:
        """The output itself."""
        return value

    def _apply(self, node: Node, given: list[Array]) -> Array:
        if node.op == "QuantizeLinear":
            scale = given[1].values[0]
            return Array(given[0].shape, [max(-128, min(127, round(v / scale))) for v in given[0].values])
        if node.op == "DequantizeLinear":
            scales = given[1].values
            each = len(given[0].values) // len(scales)
            return Array(given[0].shape, [v * scales[i // each] for i, v in enumerate(given[0].values)])
        if node.op == "Conv":
            return conv(given[0], given[1], self.pads[node.name])
        raise ValueError(f"no operator {node.op}")


def conv(x: Array, w: Array, pad: int) -> Array:
    """A convolution of (1, C, H, W) with (K, C, R, S)."""
    (_, channels, height, width), (outs, _, rows, columns) = x.shape, w.shape
    found = []
    for k, i, j in itertools.product(range(outs), range(height), range(width)):
        total = 0.0
        for c, r, s in itertools.product(range(channels), range(rows), range(columns)):
            y, z = i + r - pad, j + s - pad
            if 0 <= y < height and 0 <= z < width:
                weight = w.values[((k * channels + c) * rows + r) * columns + s]
                total += weight and weight * x.values[(c * height + y) * width + z]
        found.append(total)
    return Array([1, outs, height, width], found)


def _node_bytes(graph: bytes) -> list[bytes]:
    return [value for number, value in fields(graph) if number == 1]


def _pad(node: bytes) -> int:
    """NodeProto.attribute is 5; AttributeProto: name 1, ints 8 (packed or one by one)."""
    for attribute in (value for number, value in fields(node) if number == 5):
        parts = list(fields(attribute))
        if (1, b"pads") in parts:
            ints = [value for number, value in parts if number == 8]
            return int(ints[0][0] if isinstance(ints[0], bytes) else ints[0])
    return 0


def _tensor(raw: bytes) -> tuple[str, Array]:
    """TensorProto: dims 1, data_type 2, name 8, raw_data 9."""
    dims: list[int] = []
    kind, name, data = 1, "", b""
    for number, value in fields(raw):
        if number == 1:
            dims += list(value) if isinstance(value, bytes) else [value]
        elif number == 2:
            kind = value
        elif number == 8:
            name = value.decode()
        elif number == 9:
            data = value
    letter = TYPES[kind]
    count = len(data) // struct.calcsize(letter)
    return name, Array(dims, list(struct.unpack(f"<{count}{letter}", data)))


def _value_info(raw: bytes) -> tuple[str, list[Any]]:
    """ValueInfoProto: name 1, type 2 > tensor_type 1 > shape 2 > dim 1 > dim_value 1 or dim_param 2."""
    parts = dict(fields(raw))
    shape = dict(fields(dict(fields(parts[2]))[1]))[2]
    dims = [dict(fields(dim)) for number, dim in fields(shape) if number == 1]
    return parts[1].decode(), [dim.get(1, 1) for dim in dims]
