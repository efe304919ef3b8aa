"""Resizing images by a factor or to a size."""

from __future__ import annotations

import torch

from ..call import Call, Implementation
from .sampling import coordinates, interpolated


def _upsample_nearest(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    height, width = _scaled_sizes(call, x)
    return _nearest(x, {-2: height, -1: width})


def _resize_nearest(call: Call) -> torch.Tensor:
    sizes = {-2: call.integer("target_size_height"), -1: call.integer("target_size_width")}
    return _nearest(call.tensor("x"), sizes)


def _nearest(x: torch.Tensor, sizes: dict[int, int]) -> torch.Tensor:
    for axis, target in sizes.items():
        size = x.shape[axis]
        # In integers: i * size / target in floating point may fall just below a whole number.
        x = x.index_select(axis, (torch.arange(target) * size // target).clamp_max(size - 1))
    return x


def _upsample_bilinear(call: Call) -> torch.Tensor:
    x, aligned = call.tensor("x"), call.flag("align_corners", True)
    half = call.flag("half_pixel_centers", not aligned)
    if aligned and half:
        raise call.unsupported("align_corners together with half_pixel_centers")
    mode = "STRICT_ALIGN_CORNERS" if aligned else "UNALIGN_CORNERS" if half else "DEFAULT"
    return _linear(call, x, dict(zip((-2, -1), _scaled_sizes(call, x), strict=True)), mode)


def _resize_bilinear(call: Call) -> torch.Tensor:
    sizes = {-2: call.integer("target_size_height", 1), -1: call.integer("target_size_width", 1)}
    return _linear(call, call.tensor("x"), sizes, call.text("sampling_mode", "DEFAULT"))


def _linear(call: Call, x: torch.Tensor, sizes: dict[int, int], mode: str) -> torch.Tensor:
    for axis, target in sizes.items():
        x = interpolated(x, axis, coordinates(call, x.shape[axis], target, mode))
    return x


def _resize(call: Call) -> torch.Tensor:
    """iOS 17's: the last ``resized_dims`` dimensions take the last of ``shape``; a 0 there keeps the size."""
    x, shape = call.tensor("x"), call.integers("shape")
    count, mode = call.integer("resized_dims"), call.text("sampling_mode", "DEFAULT")
    sizes = {axis: shape[axis] or x.shape[axis] for axis in range(-count, 0)}
    if call.text("interpolation_mode", "LINEAR") == "LINEAR":
        return _linear(call, x, sizes, mode)
    if mode != "DEFAULT":
        raise call.unsupported(f"nearest neighbour with the sampling mode {mode}, whose rounding is not documented")
    return _nearest(x, sizes)


def _scaled_sizes(call: Call, x: torch.Tensor) -> tuple[int, int]:
    height, width = call.number("scale_factor_height", 1.0), call.number("scale_factor_width", 1.0)
    return int(x.shape[-2] * height), int(x.shape[-1] * width)


OPS: dict[str, Implementation] = {
    "upsample_nearest_neighbor": _upsample_nearest,
    "resize_nearest_neighbor": _resize_nearest,
    "upsample_bilinear": _upsample_bilinear,
    "resize_bilinear": _resize_bilinear,
    "resize": _resize,
}
