"""Operations that move a tensor's values: between channels, pixels and batch, backwards, along an axis."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..call import Call, Implementation


def _depth_to_space(call: Call) -> torch.Tensor:
    """The block's position is the slow part of the channel, as in TensorFlow; pixel_shuffle is torch's other order."""
    x, size = call.tensor("x"), call.integer("block_size")
    n, c, h, w = x.shape
    parts = x.reshape(n, size, size, c // (size * size), h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // (size * size), h * size, w * size)


def _space_to_depth(call: Call) -> torch.Tensor:
    x, size = call.tensor("x"), call.integer("block_size")
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // size, size, w // size, size).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * size * size, h // size, w // size)


def _space_to_batch(call: Call) -> torch.Tensor:
    x, (a, b) = call.tensor("x"), call.integers("block_shape")
    top, bottom, left, right = call.integers("paddings")
    x = F.pad(x, [left, right, top, bottom])
    n, c, h, w = x.shape
    parts = x.reshape(n, c, h // a, a, w // b, b).permute(3, 5, 0, 1, 2, 4)
    return parts.reshape(n * a * b, c, h // a, w // b)


def _batch_to_space(call: Call) -> torch.Tensor:
    x, (a, b) = call.tensor("x"), call.integers("block_shape")
    top, bottom, left, right = call.integers("crops")
    n, c, h, w = x.shape
    parts = x.reshape(a, b, n // (a * b), c, h, w).permute(2, 3, 4, 0, 5, 1)
    whole = parts.reshape(n // (a * b), c, h * a, w * b)
    return whole[:, :, top : h * a - bottom, left : w * b - right]


def _pixel_shuffle(call: Call) -> torch.Tensor:
    return F.pixel_shuffle(call.tensor("x"), call.integer("upscale_factor"))


def _pixel_unshuffle(call: Call) -> torch.Tensor:
    return F.pixel_unshuffle(call.tensor("x"), call.integer("downscale_factor"))


def _reverse(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    return x.flip(call.axes("axes", x.dim()))


def _reverse_sequence(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    batch, along = call.axis("batch_axis", x.dim(), 0), call.axis("seq_axis", x.dim(), 0)
    made = x.clone()
    for index, length in enumerate(call.integers("lengths")):
        row = made.select(batch, index)
        axis = along - (along > batch)
        row.narrow(axis, 0, length).copy_(row.narrow(axis, 0, length).flip(axis).clone())
    return made


def _cumsum(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    axis, backwards = call.axis("axis", x.dim(), 0), call.flag("reverse", False)
    x = x.flip(axis) if backwards else x
    total = x.cumsum(axis).to(x.dtype)
    total = total - x if call.flag("exclusive", False) else total
    return total.flip(axis) if backwards else total


def _sliding_windows(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    axis = call.axis("axis", x.dim())
    windows = x.unfold(axis, call.integer("size"), call.integer("stride", 1))
    return windows.movedim(-1, axis + 1)


def _band_part(call: Call) -> torch.Tensor:
    x, lower, upper = call.tensor("x"), call.integer("lower", -1), call.integer("upper", -1)
    rows, columns = torch.arange(x.shape[-2])[:, None], torch.arange(x.shape[-1])[None]
    keep = ((rows - columns <= lower) | torch.tensor(lower < 0)) & ((columns - rows <= upper) | torch.tensor(upper < 0))
    return torch.where(keep, x, torch.zeros_like(x))


OPS: dict[str, Implementation] = {
    "depth_to_space": _depth_to_space,
    "space_to_depth": _space_to_depth,
    "space_to_batch": _space_to_batch,
    "batch_to_space": _batch_to_space,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "reverse": _reverse,
    "reverse_sequence": _reverse_sequence,
    "cumsum": _cumsum,
    "sliding_windows": _sliding_windows,
    "band_part": _band_part,
}
