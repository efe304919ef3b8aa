"""The forms in which weights are stored compressed: constexpr operations, executed once for each package.

iOS 16 keeps their parameters in attributes, flat and packed in bytes; iOS 18 has redefined most of them, with inputs
and sub-byte types. Which one a file holds is seen by its parameters.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from ..blob import unpacked
from ..call import Call, Implementation
from .quantization import along


def _affine_dequantize(call: Call) -> torch.Tensor:
    data, zero = call.tensor("quantized_data"), call.tensor("zero_point")
    return along(call, call.tensor("scale"), data) * (data.float() - along(call, zero, data).float())


def _cast(call: Call) -> torch.Tensor:
    return call.tensor("source_val").float()


def _blockwise(call: Call) -> torch.Tensor:
    return _dequantized(call, call.tensor("data"))


def _dequantized(call: Call, data: torch.Tensor) -> torch.Tensor:
    offset, made = call.maybe("offset"), data.float()
    if offset is not None:
        made = made - _spread(call, offset.float(), data.shape)
    return made * _spread(call, call.tensor("scale"), data.shape)


def _spread(call: Call, small: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return ``small`` with each value repeated over its block of ``shape``."""
    if small.dim() != len(shape) or any(n % m for n, m in zip(shape, small.shape, strict=True)):
        raise call.error(f"has blocks {list(small.shape)} that do not divide {list(shape)}")
    for axis, (whole, count) in enumerate(zip(shape, small.shape, strict=True)):
        small = small.repeat_interleave(whole // count, axis) if whole != count else small
    return small


def _lut_to_dense(call: Call) -> torch.Tensor:
    indices, lut = call.tensor("indices"), call.tensor("lut")
    if call.has("shape"):  # iOS 16
        shape, bits = call.integers("shape"), int(math.log2(len(lut)))
        return lut[_from_bytes(indices, bits, math.prod(shape)).long()].reshape(shape)
    return _looked_up(call, indices, lut)


def _looked_up(call: Call, indices: torch.Tensor, lut: torch.Tensor) -> torch.Tensor:
    """``lut`` [one table for each block of ``indices`` ..., entries, vector]: a vector fills its axis of the result."""
    tables, (entries, vector) = lut.shape[:-2], lut.shape[-2:]
    which = torch.arange(math.prod(tables)).reshape(tables)
    table = _spread(call, which, indices.shape)
    found = lut.reshape(-1, entries, vector)[table.reshape(-1), indices.long().reshape(-1)]
    picked = found.reshape(*indices.shape, vector)
    if vector == 1:
        return picked.squeeze(-1)
    axis = call.axis("vector_axis", indices.dim())
    return picked.movedim(-1, axis + 1).flatten(axis, axis + 1)


def _from_bytes(data: torch.Tensor, bits: int, count: int) -> torch.Tensor:
    flat = data.to(torch.uint8).numpy().reshape(-1)
    return torch.from_numpy(flat[:count].copy() if bits == 8 else np.array(unpacked(flat, f"uint{bits}", count)))


def _sparse_to_dense(call: Call) -> torch.Tensor:
    values, mask = call.tensor("nonzero_data"), call.tensor("mask")
    if call.has("shape"):  # iOS 16
        shape = call.integers("shape")
        mask = _from_bytes(mask, 1, math.prod(shape)).reshape(shape)
    return _scattered(call, values, mask)


def _scattered(call: Call, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    if int((mask != 0).sum()) != values.numel():
        raise call.error(f"has {values.numel()} values for {int((mask != 0).sum())} places")
    dense = torch.zeros(mask.shape, dtype=values.dtype)
    dense[mask != 0] = values
    return dense


def _lut_to_sparse(call: Call) -> tuple[torch.Tensor, torch.Tensor]:
    mask, lut = call.tensor("indices_mask"), call.tensor("lut")
    dense = _looked_up(call, _scattered(call, call.tensor("indices_nonzero_data"), mask), lut)
    vector = lut.shape[-1]
    wide = mask if vector == 1 else mask.repeat_interleave(vector, call.axis("vector_axis", mask.dim()))
    return wide, dense[wide != 0]


def _sparse_blockwise(call: Call) -> tuple[torch.Tensor, torch.Tensor]:
    mask = call.tensor("data_mask")
    dense = _dequantized(call, _scattered(call, call.tensor("nonzero_data"), mask))
    return mask, dense[mask != 0]


OPS: dict[str, Implementation] = {
    "constexpr_affine_dequantize": _affine_dequantize,
    "constexpr_cast": _cast,
    "constexpr_blockwise_shift_scale": _blockwise,
    "constexpr_lut_to_dense": _lut_to_dense,
    "constexpr_sparse_to_dense": _sparse_to_dense,
    "constexpr_lut_to_sparse": _lut_to_sparse,
    "constexpr_sparse_blockwise_shift_scale": _sparse_blockwise,
}
