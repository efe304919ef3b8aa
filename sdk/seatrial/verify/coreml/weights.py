"""How a package stores its weights: the form and type of each, as the program has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from .program import Function, Literal, Operation

# Parameters that hold weights; others of these operations (biases, states) are small.
WEIGHTS = {
    "conv": ("weight",),
    "conv_transpose": ("weight",),
    "linear": ("weight",),
    "matmul": ("x", "y"),
    "gather": ("x",),
    "lstm": ("weight_ih", "weight_hh", "weight_ih_back", "weight_hh_back"),
    "gru": ("weight_ih", "weight_hh"),
    "rnn": ("weight_ih", "weight_hh"),
}
_NAMES = {"fp16": "float16", "fp32": "float32"}
LEAST_VALUES = 10  # smaller constants are arguments, not weights


@dataclass(frozen=True)
class StoredWeight:
    """One weight: the operation that uses it, its parameter, and its form ('float16', 'int8', 'palettized 4 bit')."""

    operation: str
    name: str
    parameter: str
    form: str


def stored_weights(function: Function) -> list[StoredWeight]:
    """Return the weights of a function's operations, in the order of the program."""
    makers = {output.name: each for each in function.block.walk() for output in each.outputs}
    found = []
    for operation in function.block.walk():
        for parameter in WEIGHTS.get(operation.type, ()):
            form = _form(operation, parameter, makers)
            if form:
                found.append(StoredWeight(operation.type, operation.name, parameter, form))
    return found


def precision_summary(function: Function) -> dict[str, int]:
    """Return how many operations hold weights of each form; one with weights of several forms counts for the first."""
    first: dict[str, str] = {}
    for each in stored_weights(function):
        first.setdefault(each.name, each.form)
    return dict(Counter(first.values()))


def _form(operation: Operation, parameter: str, makers: dict[str, Operation]) -> str:
    bindings = operation.inputs.get(parameter, ())
    if len(bindings) != 1 or isinstance(bindings[0], Literal) or bindings[0] not in makers:
        return ""
    return _made_by(makers[bindings[0]], makers)


def _made_by(maker: Operation, makers: dict[str, Operation]) -> str:
    declared = maker.outputs[0].type
    if maker.type == "const":
        size = 1
        for n in declared.shape:
            size *= n or 0
        return _NAMES.get(declared.dtype, declared.dtype) if size >= LEAST_VALUES else ""
    if maker.type == "dequantize":
        return _stored_type(maker, "input", makers)
    if maker.type.startswith("constexpr_"):
        return _compressed(maker, makers)
    return ""


def _compressed(maker: Operation, makers: dict[str, Operation]) -> str:
    kind = maker.type.removeprefix("constexpr_")
    if kind == "affine_dequantize":
        return _stored_type(maker, "quantized_data", makers)
    if kind == "blockwise_shift_scale":
        return _stored_type(maker, "data", makers)
    if kind.startswith("lut_to"):
        return f"palettized {_palette_bits(maker, makers)} bit"
    if kind == "sparse_to_dense":
        inner = _maker(maker, "nonzero_data", makers)
        within = _compressed(inner, makers) if inner is not None and inner.type.startswith("constexpr_") else ""
        return f"sparse {within}".strip()
    if kind == "sparse_blockwise_shift_scale":
        return _stored_type(maker, "nonzero_data", makers)
    return "float16"  # constexpr_cast


def _palette_bits(maker: Operation, makers: dict[str, Operation]) -> int:
    tables = _declared(maker, "lut", makers)
    entries = tables[0] if len(tables) == 1 else tables[-2]
    return max((entries or 1).bit_length() - 1, 0)


def _declared(maker: Operation, parameter: str, makers: dict[str, Operation]) -> tuple[int | None, ...]:
    if parameter in maker.attributes:
        return maker.attributes[parameter].type.shape
    inner = maker.inputs[parameter][0]
    return inner.type.shape if isinstance(inner, Literal) else makers[inner].outputs[0].type.shape


def _stored_type(maker: Operation, parameter: str, makers: dict[str, Operation]) -> str:
    if parameter in maker.attributes:
        return maker.attributes[parameter].type.dtype
    inner = maker.inputs.get(parameter, ("",))[0]
    if isinstance(inner, Literal):
        return inner.type.dtype
    source = makers.get(inner)
    # A quantize before it: an activation, no weight.
    return source.outputs[0].type.dtype if source is not None and source.type == "const" else ""


def _maker(maker: Operation, parameter: str, makers: dict[str, Operation]) -> Operation | None:
    inner = maker.inputs.get(parameter, ("",))[0]
    return None if isinstance(inner, Literal) else makers.get(inner)
