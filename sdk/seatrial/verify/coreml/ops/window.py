"""What convolution and pooling share: the padding that a pad_type means."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..call import Call

Pads = list[tuple[int, int]]  # for each spatial dimension: before, after


def paddings(
    call: Call, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> Pads:
    """Return the padding of each spatial dimension of size ``sizes``."""
    kind = call.text("pad_type", "valid").lower()
    if kind == "valid":
        return [(0, 0)] * len(sizes)
    if kind == "custom":
        flat = call.integers("pad", [0] * (2 * len(sizes)))
        return list(zip(flat[::2], flat[1::2], strict=True))
    if kind not in ("same", "same_lower"):
        raise call.error(f"has pad_type {kind!r}, which is none")
    return [_same(*each, lower=kind == "same_lower") for each in zip(sizes, kernel, strides, dilations, strict=True)]


def _same(size: int, kernel: int, stride: int, dilation: int, *, lower: bool) -> tuple[int, int]:
    reach = (kernel - 1) * dilation + 1
    total = max((math.ceil(size / stride) - 1) * stride + reach - size, 0)
    half = total // 2
    return (total - half, half) if lower else (half, total - half)


def for_torch(pads: Pads) -> list[int]:
    """Return the padding as torch.nn.functional.pad takes it: the last dimension first."""
    return [n for pair in reversed(pads) for n in pair]
