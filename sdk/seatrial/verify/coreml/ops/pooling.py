"""Pooling in one, two or three dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812

from ..call import Call, Implementation
from .window import Pads, for_torch, paddings


def _max_pool(call: Call) -> torch.Tensor:
    x, kernel, strides, pads, extra = _geometry(call)
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(kernel) - 1]
    whole = [(low, high + more) for (low, high), more in zip(pads, extra, strict=True)]
    pooled: torch.Tensor = function(F.pad(x, for_torch(whole), value=-math.inf), kernel, strides)
    return pooled


def _avg_pool(call: Call) -> torch.Tensor:
    x, kernel, strides, pads, extra = _geometry(call)
    total = _sums(x, kernel, strides, pads, extra)
    inside = x.new_ones([1, 1, *x.shape[2:]])
    if not call.flag("exclude_padding_from_average", False):
        # What ceil_mode adds beyond the padding is never counted, as in torch.
        inside, pads = F.pad(inside, for_torch(pads), value=1.0), [(0, 0)] * len(pads)
    return total / _sums(inside, kernel, strides, pads, extra)


def _l2_pool(call: Call) -> torch.Tensor:
    x, kernel, strides, pads, extra = _geometry(call)
    return _sums(x.square(), kernel, strides, pads, extra).sqrt()


def _sums(x: torch.Tensor, kernel: list[int], strides: list[int], pads: Pads, extra: list[int]) -> torch.Tensor:
    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[len(kernel) - 1]
    whole = [(low, high + more) for (low, high), more in zip(pads, extra, strict=True)]
    mean: torch.Tensor = function(F.pad(x, for_torch(whole)), kernel, strides)
    return mean * math.prod(kernel)


def _geometry(call: Call) -> tuple[torch.Tensor, list[int], list[int], Pads, list[int]]:
    """Return x, kernel, strides, paddings, and what ceil_mode adds after each dimension's padding."""
    x, kernel = call.tensor("x"), call.integers("kernel_sizes")
    strides = call.integers("strides", [1] * len(kernel))
    pads = paddings(call, x.shape[2:], kernel, strides, [1] * len(kernel))
    extra = _ceiling(x.shape[2:], kernel, strides, pads) if call.flag("ceil_mode", False) else [0] * len(kernel)
    return x, kernel, strides, pads, extra


def _ceiling(sizes: Sequence[int], kernel: list[int], strides: list[int], pads: Pads) -> list[int]:
    extra = []
    for size, k, stride, (low, high) in zip(sizes, kernel, strides, pads, strict=True):
        count = math.ceil((size + low + high - k) / stride) + 1
        # A window must begin inside the input or the padding before it.
        if low + high > 0 and (count - 1) * stride >= size + low:
            count -= 1
        extra.append(max((count - 1) * stride + k - (size + low + high), 0))
    return extra


OPS: dict[str, Implementation] = {"max_pool": _max_pool, "avg_pool": _avg_pool, "l2_pool": _l2_pool}
