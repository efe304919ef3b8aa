"""Grids of integers for groups of weights: scale and zero point of each, by the least squared error."""

from __future__ import annotations

from dataclasses import dataclass

import torch

CLIPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)  # parts of the full range; cutting a few large weights off often pays
LEAST_SCALE = 1e-8


@dataclass(frozen=True)
class Grid:
    """For weights (N, K) in groups along K: float32 scales and int32 zero points, both (N, K / group size).

    w is (q - zero_point) * scale with q in -2^(bits-1) .. 2^(bits-1) - 1.
    """

    scale: torch.Tensor
    zero_point: torch.Tensor
    bits: int

    def quantized(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the nearest integers, int8, for weights of (N, K)."""
        groups = weight.reshape(*self.scale.shape, -1)
        low, high = levels(self.bits)
        q = torch.round(groups / self.scale.unsqueeze(-1)) + self.zero_point.unsqueeze(-1)
        return q.clamp(low, high).to(torch.int8).reshape(weight.shape)

    def restored(self, quantized: torch.Tensor) -> torch.Tensor:
        """Return the weights that the integers stand for, float32."""
        groups = quantized.reshape(*self.scale.shape, -1).to(torch.float32)
        made = (groups - self.zero_point.unsqueeze(-1)) * self.scale.unsqueeze(-1)
        return made.reshape(quantized.shape)


def levels(bits: int) -> tuple[int, int]:
    """Return the smallest and the largest integer.

    >>> levels(4), levels(8)
    ((-8, 7), (-128, 127))
    """
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def fit_grid(weight: torch.Tensor, bits: int, group_size: int, symmetric: bool) -> Grid:
    """Return the grid, of several clipped ranges, with the least squared error for each group of ``weight`` (N, K)."""
    groups = weight.reshape(weight.shape[0], -1, group_size)
    best, least = None, None
    for clip in CLIPS:
        grid = _grid(groups, bits, symmetric, clip)
        error = (grid.restored(grid.quantized(weight)) - weight).reshape(groups.shape).pow(2).sum(-1)
        if best is None or least is None:
            best, least = grid, error
            continue
        better = error < least
        least = torch.where(better, error, least)
        best = Grid(
            torch.where(better, grid.scale, best.scale),
            torch.where(better, grid.zero_point, best.zero_point),
            bits,
        )
    assert best is not None
    return best


def _grid(groups: torch.Tensor, bits: int, symmetric: bool, clip: float) -> Grid:
    low, high = levels(bits)
    least, most = groups.amin(-1).clamp(max=0.0) * clip, groups.amax(-1).clamp(min=0.0) * clip
    if symmetric:
        scale = (torch.maximum(-least, most) / high).clamp(min=LEAST_SCALE)
        return Grid(scale, torch.zeros_like(scale, dtype=torch.int32), bits)
    scale = ((most - least) / (high - low)).clamp(min=LEAST_SCALE)
    zero_point = torch.round(low - least / scale).clamp(low, high)
    return Grid(scale, zero_point.to(torch.int32), bits)
