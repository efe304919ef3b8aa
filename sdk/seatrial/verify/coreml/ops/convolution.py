"""Convolution and transposed convolution in one, two or three dimensions; sums are in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..call import Call, Implementation
from .window import for_torch, paddings


def _conv(call: Call) -> torch.Tensor:
    x, weight = call.tensor("x"), call.tensor("weight")
    count = weight.dim() - 2
    strides, dilations = call.integers("strides", [1] * count), call.integers("dilations", [1] * count)
    pads = paddings(call, x.shape[2:], weight.shape[2:], strides, dilations)
    function = (F.conv1d, F.conv2d, F.conv3d)[count - 1]
    # torch pads both sides alike; anything else is padded first.
    even = all(before == after for before, after in pads)
    inner = [before for before, _ in pads] if even else [0] * count
    padded = x if even else F.pad(x, for_torch(pads))
    return function(padded, weight, call.maybe("bias"), strides, inner, dilations, call.integer("groups", 1))


def _conv_transpose(call: Call) -> torch.Tensor:
    x, weight = call.tensor("x"), call.tensor("weight")
    count = weight.dim() - 2
    strides, dilations = call.integers("strides", [1] * count), call.integers("dilations", [1] * count)
    function = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[count - 1]
    whole = function(x, weight, None, strides, 0, 0, call.integer("groups", 1), dilations)
    begins, sizes = _kept(call, list(x.shape[2:]), list(whole.shape[2:]), strides)
    for axis, (begin, size) in enumerate(zip(begins, sizes, strict=True), 2):
        # A stride beyond the kernel leaves places that no input reaches: zeros.
        missing = begin + size - whole.shape[axis]
        if missing > 0:
            whole = F.pad(whole, [0, 0] * (whole.dim() - 1 - axis) + [0, missing])
        whole = whole.narrow(axis, begin, size)
    bias = call.maybe("bias")
    return whole if bias is None else whole + bias.reshape([1, -1] + [1] * count)


def _kept(call: Call, inputs: list[int], whole: list[int], strides: list[int]) -> tuple[list[int], list[int]]:
    """Return where the kept part of the whole result begins, and its size, for each spatial dimension."""
    kind = call.text("pad_type", "valid").lower()
    flat = call.integers("pad", [0] * (2 * len(whole))) if kind == "custom" else [0] * (2 * len(whole))
    before, after = flat[::2], flat[1::2]
    if call.has("output_shape"):
        sizes = call.integers("output_shape")[-len(whole) :]
    elif kind == "same":
        sizes = [n * stride for n, stride in zip(inputs, strides, strict=True)]
    else:
        return before, [n - low - high for n, low, high in zip(whole, before, after, strict=True)]
    if kind == "custom":
        return before, sizes
    return [max(n - size, 0) // 2 for n, size in zip(whole, sizes, strict=True)], sizes


OPS: dict[str, Implementation] = {"conv": _conv, "conv_transpose": _conv_transpose}
