"""Where resized pixels come from: MIL's sampling modes as coordinates, and interpolation along an axis."""

from __future__ import annotations

import torch

from ..call import Call

MODES = ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS", "DEFAULT", "OFFSET_CORNERS", "UNALIGN_CORNERS")


def coordinates(call: Call, size: int, target: int, mode: str) -> torch.Tensor:
    """Return the ``target`` places in [0, size - 1] that a sampling mode reads.

    The formulas are those of coremltools' documentation of resize_bilinear.
    """
    steps = torch.arange(target, dtype=torch.float64)
    if mode == "ALIGN_CORNERS" and target == 1:
        places = torch.tensor([(size - 1) / 2], dtype=torch.float64)
    elif mode in ("STRICT_ALIGN_CORNERS", "ALIGN_CORNERS"):
        places = steps * ((size - 1) / (target - 1) if target > 1 else 0)
    elif mode == "DEFAULT":
        places = steps * (size / target)  # (size - size / target) / (target - 1) is the same
    elif mode == "OFFSET_CORNERS":
        delta = max(1, size - 1) / target
        places = 0.5 * delta + steps * delta
    elif mode == "UNALIGN_CORNERS":
        places = (steps + 0.5) * (size / target) - 0.5
    else:
        raise call.error(f"has sampling_mode {mode!r}, which is none")
    return places.clamp(0, size - 1)


def interpolated(x: torch.Tensor, axis: int, places: torch.Tensor) -> torch.Tensor:
    """Return ``x`` read at ``places`` along ``axis``, linearly between its values."""
    low = places.floor().long().clamp(0, x.shape[axis] - 1)
    high = (low + 1).clamp_max(x.shape[axis] - 1)
    shape = [-1 if i == axis % x.dim() else 1 for i in range(x.dim())]
    part = (places - low).to(x.dtype).reshape(shape)
    return x.index_select(axis, low) * (1 - part) + x.index_select(axis, high) * part
