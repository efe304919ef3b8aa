"""MIL's types: what a tensor of the program declares itself to be, and the torch dtype that holds its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

Dim = int | None  # None: known at run time

# Types without a torch dtype of their own are held in a wider one; sub-byte integers are held unpacked.
TORCH = {
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp64": torch.float64,
    "bool": torch.bool,
    "int8": torch.int8,
    "int16": torch.int16,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint8": torch.uint8,
    "uint16": torch.int32,
    "uint32": torch.int64,
    "uint64": torch.int64,
    "int4": torch.int8,
    **dict.fromkeys(("uint1", "uint2", "uint3", "uint4", "uint6"), torch.uint8),
}
FLOATS = ("fp16", "fp32", "fp64")
SUB_BYTE_BITS = {"int4": 4, "uint1": 1, "uint2": 2, "uint3": 3, "uint4": 4, "uint6": 6}
# The names that MIL.proto gives its data types.
_PROTO = {
    "FLOAT16": "fp16",
    "FLOAT32": "fp32",
    "FLOAT64": "fp64",
    "BOOL": "bool",
    "STRING": "str",
    **{f"INT{n}": f"int{n}" for n in (4, 8, 16, 32, 64)},
    **{f"UINT{n}": f"uint{n}" for n in (1, 2, 3, 4, 6, 8, 16, 32, 64)},
}


@dataclass(frozen=True)
class ValueType:
    """``kind`` is tensor, list, dictionary, state or tuple; ``dtype`` and ``shape`` are the tensor's, or those of a
    list's elements or of what a state holds. ``ranked`` is False when even the number of dimensions is open."""

    kind: str
    dtype: str = ""
    shape: tuple[Dim, ...] = ()
    ranked: bool = True

    def __str__(self) -> str:
        inner = f"{self.dtype}{[n if n is not None else '?' for n in self.shape]}"
        return inner if self.kind == "tensor" else f"{self.kind} of {inner}"

    def admits(self, shape: tuple[int, ...]) -> bool:
        """Return whether a tensor of ``shape`` is what was declared."""
        return not self.ranked or (
            len(shape) == len(self.shape)
            and all(want is None or want == n for want, n in zip(self.shape, shape, strict=True))
        )


def value_type(proto: Any, names: Any) -> ValueType:
    """Return the type that a MIL.proto ValueType describes; ``names`` maps data types to the proto's names."""
    kind = proto.WhichOneof("type")
    if kind == "tensorType":
        tensor = proto.tensorType
        ranked = not any(each.unknown.variadic for each in tensor.dimensions)
        return ValueType("tensor", dtype_name(tensor.dataType, names), tuple(map(_dim, tensor.dimensions)), ranked)
    if kind == "listType":
        inner = value_type(proto.listType.type, names)
        return ValueType("list", inner.dtype, inner.shape)
    if kind == "stateType":
        inner = value_type(proto.stateType.wrappedType, names)
        return ValueType("state", inner.dtype, inner.shape)
    return ValueType(str(kind).removesuffix("Type"))


def dtype_name(code: int, names: Any) -> str:
    """Return 'fp16' for the proto's FLOAT16, and so on; a type unknown here keeps the proto's name."""
    name = str(names.Name(code))
    return _PROTO.get(name, name.lower())


def _dim(dimension: Any) -> Dim:
    return int(dimension.constant.size) if dimension.WhichOneof("dimension") == "constant" else None
