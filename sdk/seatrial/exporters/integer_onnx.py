"""A quantized model's ONNX as ONNX Runtime's CPU kernels want it: the same quantizers, in the form that fuses.

PT2E gives int8 activations with zero point 0, which TensorRT takes as they are. On a CPU ONNX Runtime multiplies uint8
by int8: with int8 activations most convolutions stay in floating point (a ResNet18 ran 3 times slower). So int8 becomes
uint8 with zero point 0 behind ReLU and the like, else 128; a Pad between quantizer and convolution goes into the
convolution; biases become int32. Weights and their scales stay as they are.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .host import HostSession

if TYPE_CHECKING:
    import onnx

_NON_NEGATIVE = ("Relu", "Sigmoid", "HardSigmoid", "Softmax", "Abs")
_KEEPS_SIGN = (
    "MaxPool", "Reshape", "Flatten", "Transpose", "Pad", "GlobalAveragePool", "ReduceMean", "AveragePool",
    "QuantizeLinear", "DequantizeLinear", "Squeeze", "Unsqueeze", "Identity", "Concat", "Add", "Slice", "Gather",
    "DepthToSpace", "ReduceMax",
)  # fmt: skip
_LAYERS = ("Conv", "ConvTranspose", "Gemm")
_DEEPEST = 200  # nodes looked back at for the sign; a chain that is longer counts as signed


def for_onnxruntime(model: onnx.ModelProto, *, unsigned: bool, rescale: bool) -> onnx.ModelProto:
    """Return a copy of a quantized ``model`` in that form.

    ``unsigned``: make int8 activations uint8. ``rescale``: give those that can't be negative the whole of uint8, 255
    steps where int8 had 127 for the same range; without it their scales stay to the bit, except behind a Clip (ReLU6),
    which fuses only when the range ends where the Clip does.
    """
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = Lookup(made.graph)
    _fold_pads(graph)
    if unsigned:
        _make_unsigned(graph, rescale)
    _quantize_biases(graph)
    del made.graph.value_info[:]
    return made


def left_in_float(model: onnx.ModelProto) -> tuple[str, ...]:
    """Say how many quantized layers of ``model`` ONNX Runtime computes in floating point on this host, if any."""
    import onnx

    quantized = sum(1 for node in model.graph.node if node.op_type in _LAYERS and _reads_integers(model, node))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "optimized.onnx"
        HostSession(model.SerializeToString(), save_as=path)
        optimized = onnx.load(path)
    integer = sum(1 for node in optimized.graph.node if node.op_type in ("QLinearConv", "QGemm"))
    missing = quantized - integer
    return (f"ONNX Runtime computes {missing} of {quantized} quantized layers in float32",) if missing > 0 else ()


def _reads_integers(model: onnx.ModelProto, node: Any) -> bool:
    makers = {output: each for each in model.graph.node for output in each.output}
    found = [makers.get(name) for name in node.input[:2]]
    return all(each is not None and each.op_type == "DequantizeLinear" for each in found)


class Lookup:
    """An ONNX graph with the lookups that passes need; `refresh` after nodes changed."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.graph = graph
        self.refresh()

    def refresh(self) -> None:
        """Find constants by name, and makers and readers of each value, anew."""
        self.constants = {each.name: each for each in self.graph.initializer}
        self.maker = {output: node for node in self.graph.node for output in node.output}
        self.readers: dict[str, list[Any]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def value(self, name: str) -> Any:
        """Return a constant as an array."""
        import onnx

        return onnx.numpy_helper.to_array(self.constants[name])

    def add(self, name: str, value: Any) -> str:
        """Add a constant, once."""
        import onnx

        if name not in self.constants:
            self.constants[name] = onnx.numpy_helper.from_array(value, name)
            self.graph.initializer.append(self.constants[name])
        return name

    def of(self, kind: str) -> Iterator[Any]:
        """Yield the nodes of one operator, as they were at the first step: the graph may be changed meanwhile."""
        return (node for node in list(self.graph.node) if node.op_type == kind)


def _make_unsigned(graph: Lookup, rescale: bool) -> None:
    import onnx

    signs = {}
    for node in graph.of("QuantizeLinear"):
        if _type_of_zero_point(graph, node) == onnx.TensorProto.INT8:
            signs[node.output[0]] = _is_non_negative(graph, node.input[0], 0)
            _retype(graph, node, signs[node.output[0]], rescale or _is_clipped(graph, node.input[0]))
    for node in graph.of("DequantizeLinear"):
        if node.input[0] in signs:
            quantize = graph.maker[node.input[0]]
            node.input[1:] = quantize.input[1:]


def _type_of_zero_point(graph: Lookup, node: Any) -> int:
    import onnx

    zero_point = graph.constants.get(node.input[2]) if len(node.input) > 2 else None
    return int(zero_point.data_type) if zero_point is not None else int(onnx.TensorProto.UINT8)


def _retype(graph: Lookup, node: Any, non_negative: bool, rescale: bool) -> None:
    name, value = ("unsigned_zero_point", 0) if non_negative else ("unsigned_middle", 128)
    node.input[2] = graph.add(name, np.array(value, np.uint8))
    if non_negative and rescale:
        scale = graph.value(node.input[1])
        node.input[1] = graph.add(f"{node.input[1]}_of_255", (scale * np.float32(127 / 255)).astype(np.float32))
    kept = [each for each in node.attribute if each.name != "output_dtype"]
    del node.attribute[:]
    node.attribute.extend(kept)


def _is_non_negative(graph: Lookup, name: str, depth: int) -> bool:
    node = graph.maker.get(name)
    if node is None or depth > _DEEPEST:
        return False
    if node.op_type in _NON_NEGATIVE:
        return True
    if node.op_type == "Clip":
        return len(node.input) > 1 and node.input[1] in graph.constants and float(graph.value(node.input[1])) >= 0
    if node.op_type in ("Concat", "Add"):
        return all(_is_non_negative(graph, each, depth + 1) for each in node.input)
    return node.op_type in _KEEPS_SIGN and _is_non_negative(graph, node.input[0], depth + 1)


def _is_clipped(graph: Lookup, name: str) -> bool:
    node = graph.maker.get(name)
    while node is not None and node.op_type in ("Pad", "MaxPool", "Identity"):
        node = graph.maker.get(node.input[0])
    return node is not None and node.op_type == "Clip"


def _fold_pads(graph: Lookup) -> None:
    """Pad -> Q -> DQ -> Conv becomes Q -> DQ -> Conv with those pads: the padding is the zero point either way."""
    for pad in graph.of("Pad"):
        pads = _zero_pads(graph, pad)
        convolutions = _convolutions_behind(graph, pad) if pads else []
        if not convolutions:
            continue
        (quantize,) = graph.readers[pad.output[0]]
        quantize.input[0] = pad.input[0]
        for each in convolutions:
            _add_pads(each, pads)
        graph.graph.node.remove(pad)
        graph.refresh()


def _zero_pads(graph: Lookup, pad: Any) -> list[int]:
    """The pads of the last two axes (begin, begin, end, end) of a constant Pad with zeros; else []."""
    modes = [each.s for each in pad.attribute if each.name == "mode"]
    value = pad.input[2] if len(pad.input) > 2 else ""
    if modes not in ([], [b"constant"]) or pad.input[1] not in graph.constants:
        return []
    if value and (value not in graph.constants or float(graph.value(value)) != 0.0):
        return []
    pads = [int(each) for each in graph.value(pad.input[1])]
    outer = pads[:2] + pads[4:6]
    if len(pads) != 8 or any(outer) or min(pads) < 0 or (len(pad.input) > 3 and pad.input[3]):
        return []
    return [pads[2], pads[3], pads[6], pads[7]]


def _convolutions_behind(graph: Lookup, pad: Any) -> list[Any]:
    """The convolutions that alone read the pad, each through a quantizer; else []."""
    readers = graph.readers.get(pad.output[0], [])
    if [each.op_type for each in readers] != ["QuantizeLinear"]:
        return []
    dequantizes = graph.readers.get(readers[0].output[0], [])
    found = [each for dequantize in dequantizes for each in graph.readers.get(dequantize.output[0], [])]
    automatic = any(a.name == "auto_pad" and a.s != b"NOTSET" for each in found for a in each.attribute)
    return found if all(each.op_type == "Conv" for each in found) and not automatic else []


def _add_pads(convolution: Any, pads: list[int]) -> None:
    import onnx

    old = next((list(each.ints) for each in convolution.attribute if each.name == "pads"), [0, 0, 0, 0])
    kept = [each for each in convolution.attribute if each.name not in ("pads", "auto_pad")]
    del convolution.attribute[:]
    convolution.attribute.extend(kept)
    new = [a + b for a, b in zip(old, pads, strict=True)]
    convolution.attribute.append(onnx.helper.make_attribute("pads", new))


def _quantize_biases(graph: Lookup) -> None:
    """Make float biases of quantized layers int32, in steps of scale(activation) x scale(weight)."""
    import onnx

    for node in [each for kind in _LAYERS for each in graph.of(kind)]:
        if not _has_plain_bias(graph, node):
            continue
        activation, weight = (graph.maker[name] for name in node.input[:2])
        step = (graph.value(activation.input[1]) * graph.value(weight.input[1])).astype(np.float32).reshape(-1)
        bias = graph.value(node.input[2])
        if bias.dtype != np.float32 or bias.ndim != 1:
            continue
        exact = np.rint(bias.astype(np.float64) / step)
        if np.abs(exact).max(initial=0) >= 2**31:
            continue  # a dead channel's tiny scale; in floating point the bias is at least right
        node.input[2] = _dequantized(graph, node, exact.astype(np.int32), step, onnx)
    graph.refresh()


def _has_plain_bias(graph: Lookup, node: Any) -> bool:
    """Whether a quantized layer has a constant bias; a Gemm with alpha or beta other than 1 scales it."""
    made = [graph.maker.get(name) for name in node.input[:2]]
    quantized = all(each is not None and each.op_type == "DequantizeLinear" for each in made)
    scaled = any(each.name in ("alpha", "beta") and each.f != 1.0 for each in node.attribute)
    return quantized and not scaled and len(node.input) > 2 and node.input[2] in graph.constants


def _dequantized(graph: Lookup, node: Any, bias: Any, step: Any, onnx: Any) -> str:
    name = f"{node.input[2]}_of_{node.output[0]}"
    whole = len(step) == 1
    inputs = [
        graph.add(f"{name}_int32", bias),
        graph.add(f"{name}_scale", step[0] if whole else step),
        graph.add("bias_zero_point" if whole else f"bias_zero_points_{len(step)}",
                  np.zeros(() if whole else len(step), np.int32)),
    ]  # fmt: skip
    axis = {} if whole else {"axis": 0}
    dequantize = onnx.helper.make_node("DequantizeLinear", inputs, [f"{name}_float"], name=f"{name}_dequantize", **axis)
    graph.graph.node.insert(list(graph.graph.node).index(node), dequantize)
    return f"{name}_float"
