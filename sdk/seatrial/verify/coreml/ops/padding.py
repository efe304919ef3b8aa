"""Padding, and cropping, which takes it away."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..call import Call, Implementation
from .window import for_torch


def _pad(call: Call) -> torch.Tensor:
    x, flat, mode = call.tensor("x"), call.integers("pad"), call.text("mode", "constant")
    pairs = list(zip(flat[::2], flat[1::2], strict=True))
    if mode == "constant":
        value = call.maybe("constant_val")
        number = 0 if value is None else value.reshape(()).item()
        return F.pad(x, for_torch(pairs), value=number)
    first = x.dim() - len(pairs)
    for axis, (before, after) in enumerate(pairs, first):
        if before or after:
            x = x.index_select(axis, _places(call, x.shape[axis], before, after, mode))
    return x


def _places(call: Call, size: int, before: int, after: int, mode: str) -> torch.Tensor:
    """Return where each value of the padded axis comes from."""
    places = torch.arange(-before, size + after)
    if mode == "replicate":
        return places.clamp(0, size - 1)
    if mode != "reflect":
        raise call.error(f"has mode {mode!r}, which is none")
    if before >= size or after >= size:
        raise call.error(f"reflects {max(before, after)} of {size} values; at most {size - 1} are there")
    places = places.abs()
    return torch.where(places >= size, 2 * (size - 1) - places, places)


def _crop(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    top, bottom = call.integers("crop_height")
    left, right = call.integers("crop_width")
    return x[..., top : x.shape[-2] - bottom, left : x.shape[-1] - right]


OPS: dict[str, Implementation] = {"pad": _pad, "crop": _crop}
