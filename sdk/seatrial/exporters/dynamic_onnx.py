"""Dynamic INT8 in ONNX Runtime's form: scales of activations are found while the model runs.

torch's exporter knows no form for `choose_qparams` and for quantizers whose scale is a tensor. They become
DynamicQuantizeLinear, QuantizeLinear and DequantizeLinear; each matrix product between two of those then becomes
MatMulInteger, with the scales behind it, as onnxruntime's own quantizer writes it, so that ONNX Runtime fuses it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .integer_onnx import Lookup

if TYPE_CHECKING:
    import onnx

DEFAULT_AXES = [1, 0]


def translations() -> dict[Any, Callable[..., Any]]:
    """Return what torch.onnx.export needs as ``custom_translation_table`` for a dynamically quantized program."""
    import torch
    from onnxscript import opset18

    from ..compression.quantized_program import register

    register()
    library = torch.ops.quantized_decomposed

    def choose(value: Any, quant_min: int, quant_max: int, eps: float, dtype: int) -> Any:
        _, scale, zero_point = opset18.DynamicQuantizeLinear(value)
        return scale, zero_point

    def quantize(value: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int, dtype: int) -> Any:
        return opset18.QuantizeLinear(value, scale, zero_point)

    def dequantize(
        value: Any, scale: Any, zero_point: Any, quant_min: int, quant_max: int, dtype: int, out_dtype: int = 1
    ) -> Any:
        return opset18.DequantizeLinear(value, scale, zero_point)

    return {
        library.choose_qparams.tensor: choose,
        library.quantize_per_tensor.tensor: quantize,
        library.dequantize_per_tensor.tensor: dequantize,
    }


def fuse_dynamic(model: onnx.ModelProto) -> int:
    """Make integer products of dynamically quantized ones, in place; return how many."""
    graph = Lookup(model.graph)
    fused = [_fused(graph, node) for node in [*graph.of("Gemm"), *graph.of("MatMul")]]
    _drop_unread(graph)
    del model.graph.value_info[:]
    return sum(fused)


def _fused(graph: Lookup, node: Any) -> bool:
    dynamic = _dynamic_input(graph, node.input[0])
    weight = _weight(graph, node)
    if dynamic is None or weight is None or not _is_plain(node):
        return False
    integers, scale = weight
    name = node.output[0]
    stored = graph.add(f"{name}_weight", np.ascontiguousarray(integers.T))
    steps = graph.add(f"{name}_weight_scale", scale.astype(np.float32))
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else ""
    last = f"{name}_scaled" if bias else name
    made = [
        _node("MatMulInteger", [dynamic.output[0], stored, dynamic.output[2]], f"{name}_int32"),
        _node("Cast", [f"{name}_int32"], f"{name}_cast", to=1),
        _node("Mul", [dynamic.output[1], steps], f"{name}_scale"),
        _node("Mul", [f"{name}_cast", f"{name}_scale"], last),
        *([_node("Add", [last, bias], name)] if bias else []),
    ]
    place = list(graph.graph.node).index(node)
    graph.graph.node.remove(node)
    for each in reversed(made):
        graph.graph.node.insert(place, each)
    graph.refresh()
    return True


def _dynamic_input(graph: Lookup, name: str) -> Any:
    """The DynamicQuantizeLinear that a product's first input goes through, or None."""
    dequantize = graph.maker.get(name)
    quantize = graph.maker.get(dequantize.input[0]) if dequantize is not None else None
    if quantize is None or dequantize is None or dequantize.op_type != "DequantizeLinear":
        return None
    maker = graph.maker.get(quantize.input[1]) if quantize.op_type == "QuantizeLinear" else None
    found = maker is not None and maker.op_type == "DynamicQuantizeLinear" and maker.input[0] == quantize.input[0]
    return maker if found else None


def _weight(graph: Lookup, node: Any) -> tuple[Any, Any] | None:
    """The integers (N, K) and scales (N) of a product's weight, or None when it is not one of (N, K) transposed."""
    maker: Any = graph.maker.get(node.input[1])
    if node.op_type == "MatMul":
        if maker is None or maker.op_type != "Transpose":
            return None
        axes = next((list(each.ints) for each in maker.attribute if each.name == "perm"), DEFAULT_AXES)
        maker = graph.maker.get(maker.input[0]) if axes == DEFAULT_AXES else None
    if maker is None or maker.op_type != "DequantizeLinear" or maker.input[0] not in graph.constants:
        return None
    integers, scale = graph.value(maker.input[0]), np.ravel(graph.value(maker.input[1]))
    return (integers, scale) if integers.ndim == 2 and len(scale) in (1, len(integers)) else None


def _is_plain(node: Any) -> bool:
    """A Gemm that is x W^T + b."""
    given = {each.name: each for each in node.attribute}
    if node.op_type == "MatMul":
        return True
    scaled = any(name in given and given[name].f != 1.0 for name in ("alpha", "beta"))
    return not scaled and "transB" in given and given["transB"].i == 1 and not ("transA" in given and given["transA"].i)


def _node(kind: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    import onnx

    return onnx.helper.make_node(kind, inputs, [output], name=output, **attributes)


def _drop_unread(graph: Lookup) -> None:
    """Remove the quantizers that no product reads any more, and their constants."""
    while True:
        graph.refresh()
        outputs = {each.name for each in graph.graph.output}
        read = set(graph.readers) | outputs
        unread = [node for node in graph.graph.node if not any(name in read for name in node.output)]
        if not unread:
            break
        for node in unread:
            graph.graph.node.remove(node)
    for each in [each for each in graph.graph.initializer if each.name not in graph.readers]:
        graph.graph.initializer.remove(each)
