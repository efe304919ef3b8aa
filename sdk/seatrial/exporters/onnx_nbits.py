"""Weights in groups reach ONNX Runtime as MatMulNBits: INT4 packed two to a byte, or INT8, a scale for each group.

torch's exporter knows no form for `dequantize_per_channel_group`. Here it becomes a marker operator of our own, which
is then fused with the matrix product that reads it, or spelled out in standard operators where something else does.
Source: onnxruntime/docs/ContribOperators.md, com.microsoft.MatMulNBits.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ExportError

if TYPE_CHECKING:
    import onnx
    import torch
    from numpy.typing import NDArray

    from ..source import ModelSource

DOMAIN, MARKER = "seatrial", "DequantizeGroup"
INT8_COMPUTE = (
    4  # accuracy_level: activations are rounded to INT8 for each group, so that dot products are integer ones
)
OPERATOR = "dequantize_per_channel_group"
Constants = dict[str, "NDArray[Any]"]


def has_groups(program: torch.export.ExportedProgram) -> bool:
    """Return whether a program holds weights in groups."""
    return any(OPERATOR in str(node.target) for node in program.graph.nodes)


def refuse_groups(source: ModelSource, runtime: str) -> None:
    """Raise ExportError for a model with weights in groups when ``runtime`` is not ONNX Runtime."""
    if runtime == "onnxruntime":
        return
    program = source.program
    if has_groups(program) if program is not None else any(hasattr(m, "group_size") for m in source.module.modules()):
        raise ExportError(
            f"the model's weights are quantized in groups, which {runtime} can't carry in this version; ONNX Runtime "
            "can (MatMulNBits). Export the model from before that step for this target"
        )


def translations() -> dict[Any, Callable[..., Any]]:
    """Return what torch.onnx.export needs as ``custom_translation_table`` for such a program."""
    import torch
    from onnxscript.values import Opset

    from ..compression.quantized_program import register

    register()
    _register_marker()
    opset = Opset(DOMAIN, 1)

    def marked(
        weight: Any, scales: Any, zero_points: Any, quant_min: int, quant_max: int, dtype: int, group_size: int = 128,
        output_dtype: int = 1,
    ) -> Any:  # fmt: skip
        bits = (quant_max - quant_min + 1).bit_length() - 1
        return opset.DequantizeGroup(weight, scales, zero_points, group_size=group_size, bits=bits)

    return {torch.ops.quantized_decomposed.dequantize_per_channel_group.default: marked}


@functools.cache
def _register_marker() -> None:
    """Tell onnx of the marker: onnxscript builds only nodes whose schema it finds there."""
    from onnx.defs import OpSchema, register_schema

    parameter, attribute = OpSchema.FormalParameter, OpSchema.Attribute
    inputs = [("weight", "tensor(int8)"), ("scales", "tensor(float)"), ("zero_points", "tensor(int32)")]
    register_schema(
        OpSchema(
            MARKER,
            DOMAIN,
            1,
            inputs=[parameter(name, kind) for name, kind in inputs],
            outputs=[parameter("restored", "tensor(float)")],
            attributes=[attribute(name, OpSchema.AttrType.INT, required=True) for name in ("group_size", "bits")],
        )
    )


def fuse_groups(model: onnx.ModelProto, accuracy_level: int = INT8_COMPUTE) -> int:
    """Replace the markers of ``model``, in place; return how many weights became MatMulNBits.

    A marker that no matrix product reads is written in standard operators, and its weight stays at a byte each.
    """
    return _Fusion(model, accuracy_level).run()


class _Fusion:
    """One graph, its constants, and who reads what."""

    def __init__(self, model: onnx.ModelProto, accuracy_level: int) -> None:
        self._model, self._graph, self._level = model, model.graph, accuracy_level
        self._constants = {each.name: each for each in model.graph.initializer}
        self._added: list[Any] = []

    def run(self) -> int:
        """Treat all markers."""
        markers = [node for node in self._graph.node if node.op_type == MARKER and node.domain == DOMAIN]
        fused = sum(self._fused(marker) for marker in markers)
        self._tidy(fused)
        return fused

    def _fused(self, marker: onnx.NodeProto) -> bool:
        """Fuse all readers of a marker, or spell the marker out."""
        plans = [self._plan(reader) for reader in self._readers(marker.output[0])]
        if not plans or None in plans:
            self._spell_out(marker)
            return False
        packed = self._packed(marker)
        for plan in plans:
            assert plan is not None
            self._swap(plan, marker, packed)
        self._graph.node.remove(marker)
        return True

    def _readers(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self._graph.node if name in node.input]

    def _plan(self, reader: onnx.NodeProto) -> list[onnx.NodeProto] | None:
        """The nodes that one MatMulNBits replaces: Gemm, or Transpose and its products; None when it is neither."""
        found = attributes(reader)
        if reader.op_type == "Gemm":
            plain = found.get("alpha", 1.0) == found.get("beta", 1.0) == 1.0 and not found.get("transA", 0)
            return [reader] if plain and found.get("transB", 0) else None
        if reader.op_type == "Transpose" and list(found.get("perm", (1, 0))) == [1, 0]:
            products = self._readers(reader.output[0])
            right = all(each.op_type == "MatMul" and each.input[1] == reader.output[0] for each in products)
            return [reader, *products] if products and right else None
        return None

    def _swap(self, plan: list[onnx.NodeProto], marker: onnx.NodeProto, packed: list[str]) -> None:
        products = plan[1:] if plan[0].op_type == "Transpose" else plan
        for product in products:
            bias = product.input[2] if product.op_type == "Gemm" and len(product.input) > 2 else ""
            place = list(self._graph.node).index(product)
            for i, node in enumerate(self._product(product, marker, packed, bias)):
                self._graph.node.insert(place + i, node)
            self._graph.node.remove(product)
        if plan[0].op_type == "Transpose":
            self._graph.node.remove(plan[0])

    def _product(
        self, product: onnx.NodeProto, marker: onnx.NodeProto, packed: list[str], bias: str
    ) -> list[onnx.NodeProto]:
        import onnx

        n, k = self._array(marker.input[0]).shape
        told = attributes(marker)
        inner = f"{product.output[0]}_product" if bias else product.output[0]
        made = onnx.helper.make_node(
            "MatMulNBits", [product.input[0], *packed], [inner], name=product.name, domain="com.microsoft", K=k, N=n,
            bits=told["bits"], block_size=told["group_size"], accuracy_level=self._level,
        )  # fmt: skip
        made.metadata_props.extend(product.metadata_props)
        if not bias:
            return [made]
        return [made, onnx.helper.make_node("Add", [inner, bias], [product.output[0]], name=f"{product.name}_bias")]

    def _packed(self, marker: onnx.NodeProto) -> list[str]:
        """Add the packed constants of a marker; return their names."""
        weight, scales, zeros = (self._array(name) for name in marker.input[:3])
        told = attributes(marker)
        parts: dict[str, NDArray[Any]] = {
            f"{marker.input[0]}_packed": pack_weight(weight, told["bits"], told["group_size"]),
            marker.input[1] + "_flat": scales.astype(np.float32).reshape(-1),
            f"{marker.input[2]}_packed": pack_zero_points(zeros, told["bits"]),
        }
        return [self._constant(name, value) for name, value in parts.items()]

    def _spell_out(self, marker: onnx.NodeProto) -> None:
        """(weight as (N, K / g, g) - zero point) * scale, back as (N, K)."""
        import onnx

        base, place = marker.output[0], list(self._graph.node).index(marker)
        weight, scales, zeros = (self._array(name) for name in marker.input[:3])
        shape = (*scales.shape, attributes(marker)["group_size"])
        grouped = self._constant(f"{base}_grouped", weight.reshape(shape))
        zero = self._constant(f"{base}_zero", zeros.astype(np.float32)[..., None])
        scale = self._constant(f"{base}_scale", scales.astype(np.float32)[..., None])
        to = self._constant(f"{base}_shape", np.array(weight.shape, np.int64))
        make = onnx.helper.make_node
        nodes = [
            make("Cast", [grouped], [f"{base}_float"], name=f"{base}_cast", to=onnx.TensorProto.FLOAT),
            make("Sub", [f"{base}_float", zero], [f"{base}_shifted"], name=f"{base}_sub"),
            make("Mul", [f"{base}_shifted", scale], [f"{base}_scaled"], name=f"{base}_mul"),
            make("Reshape", [f"{base}_scaled", to], [base], name=f"{base}_reshape"),
        ]
        self._graph.node.remove(marker)
        for i, node in enumerate(nodes):
            self._graph.node.insert(place + i, node)

    def _array(self, name: str) -> NDArray[Any]:
        import onnx

        array: NDArray[Any] = onnx.numpy_helper.to_array(self._constants[name])
        return array

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        import onnx

        if name not in self._constants:
            self._constants[name] = onnx.numpy_helper.from_array(np.ascontiguousarray(value), name)
            self._graph.initializer.append(self._constants[name])
        return name

    def _tidy(self, fused: int) -> None:
        """Drop constants that nobody reads, shapes that no longer hold, and opsets that are not used."""
        read = {name for node in self._graph.node for name in node.input} | {each.name for each in self._graph.output}
        kept = [each for each in self._graph.initializer if each.name in read]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)
        del self._graph.value_info[:]
        opsets = [each for each in self._model.opset_import if each.domain != DOMAIN]
        del self._model.opset_import[:]
        self._model.opset_import.extend(opsets)
        if fused and not any(each.domain == "com.microsoft" for each in opsets):
            self._model.opset_import.add(domain="com.microsoft", version=1)


def attributes(node: onnx.NodeProto) -> Mapping[str, Any]:
    """Return a node's attributes by name."""
    import onnx

    return {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}


def pack_weight(weight: NDArray[Any], bits: int, group_size: int) -> NDArray[Any]:
    """Return signed integers (N, K) as MatMulNBits stores them: uint8 (N, K / group, group * bits / 8).

    Values are shifted to 0 .. 2^bits - 1; of two INT4 values the first has the low half of the byte.
    """
    shifted = (weight.astype(np.int16) + 2 ** (bits - 1)).astype(np.uint8).reshape(weight.shape[0], -1, group_size)
    packed: NDArray[Any] = shifted if bits == 8 else _halves(shifted)
    return packed


def pack_zero_points(zeros: NDArray[Any], bits: int) -> NDArray[Any]:
    """Return zero points (N, groups) likewise, each row filled up to whole bytes."""
    shifted = (zeros.astype(np.int16) + 2 ** (bits - 1)).astype(np.uint8)
    even = np.pad(shifted, ((0, 0), (0, shifted.shape[1] % 2)))
    packed: NDArray[Any] = (shifted if bits == 8 else _halves(even)).reshape(-1)
    return packed


def _halves(values: NDArray[Any]) -> NDArray[Any]:
    packed: NDArray[Any] = values[..., 0::2] | (values[..., 1::2] << 4)
    return packed
