"""Quantize and dequantize (iOS 17): activations in 8 bits."""

from __future__ import annotations

import torch

from ..call import Call, Implementation

_LIMITS = {"int8": (-128, 127), "uint8": (0, 255)}


def along(call: Call, parameter: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    """Return a scale or zero point in the shape in which it spreads over ``data``: a vector lies along the axis."""
    if parameter.dim() == 0:
        return parameter
    axis = call.axis("axis", data.dim())
    return parameter.reshape([-1 if i == axis else 1 for i in range(data.dim())])


def _quantize(call: Call) -> torch.Tensor:
    x, dtype = call.tensor("input"), call.text("output_dtype")
    if dtype not in _LIMITS:
        raise call.error(f"quantizes to {dtype!r}, which is none of {', '.join(_LIMITS)}")
    zero = call.maybe("zero_point")
    shift = 0 if zero is None else along(call, zero, x).float()
    return (torch.round(x / along(call, call.tensor("scale"), x)) + shift).clamp(*_LIMITS[dtype]).to(torch.int32)


def _dequantize(call: Call) -> torch.Tensor:
    x, zero = call.tensor("input"), call.maybe("zero_point")
    shift = 0 if zero is None else along(call, zero, x).float()
    return (x.float() - shift) * along(call, call.tensor("scale"), x)


OPS: dict[str, Implementation] = {"quantize": _quantize, "dequantize": _dequantize}
