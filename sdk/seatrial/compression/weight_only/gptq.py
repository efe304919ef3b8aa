"""GPTQ: round weights one input after the other, and let those that are left make up for the error.

Frantar et al., "GPTQ: Accurate post-training quantization for generative pre-trained transformers", ICLR 2023.
"""

from __future__ import annotations

import torch

from seatrial_targets.errors import ModelError

from .grid import Grid, fit_grid

BLOCK = 128


class Curvature:
    """The sum of x x^T over a layer's inputs, (K, K) in float32: how much each weight's error shows in the outputs."""

    def __init__(self, inputs: int) -> None:
        self.sum = torch.zeros(inputs, inputs)
        self.count = 0

    def add(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """Add inputs (..., K); ``mask`` has their shape without K, and what is 0 in it counts nothing (padding)."""
        rows = x.detach().reshape(-1, x.shape[-1]).float()
        if mask is not None and mask.shape == x.shape[:-1]:
            rows = rows[mask.reshape(-1) != 0]
        self.sum += rows.T @ rows
        self.count += rows.shape[0]

    def error(self, difference: torch.Tensor) -> float:
        """Return the mean squared change of the outputs when the weights (N, K) change by ``difference``."""
        total = torch.einsum("nk,kl,nl->", difference.double(), self.sum.double(), difference.double())
        return float(total) / max(self.count, 1)


def gptq(
    weight: torch.Tensor, curvature: Curvature, bits: int, group_size: int, symmetric: bool, damping: float
) -> tuple[torch.Tensor, Grid]:
    """Return the integers (N, K), int8, and their grid. Raises ModelError when the inputs were not finite."""
    work = weight.detach().float().clone()
    inverse = _inverse_root(curvature, work, damping)
    block = max(BLOCK, group_size)
    grids, made = [], torch.empty(work.shape, dtype=torch.int8)
    for start in range(0, work.shape[1], block):
        stop = min(start + block, work.shape[1])
        q, errors, found = _block(work[:, start:stop], inverse[start:stop, start:stop], bits, group_size, symmetric)
        made[:, start:stop] = q
        grids += found
        work[:, stop:] -= errors @ inverse[start:stop, stop:]
    scale = torch.cat([grid.scale for grid in grids], dim=1)
    return made, Grid(scale, torch.cat([grid.zero_point for grid in grids], dim=1), bits)


def _block(
    work: torch.Tensor, inverse: torch.Tensor, bits: int, group_size: int, symmetric: bool
) -> tuple[torch.Tensor, torch.Tensor, list[Grid]]:
    """Round the columns of one block; return integers, what is left to make up for, and the grids of its groups."""
    work = work.clone()
    q, errors = torch.empty(work.shape, dtype=torch.int8), torch.zeros_like(work)
    grids: list[Grid] = []
    for i in range(work.shape[1]):
        if i % group_size == 0:
            grids.append(fit_grid(work[:, i : i + group_size], bits, group_size, symmetric))
        column = work[:, i : i + 1]
        q[:, i : i + 1] = grids[-1].quantized(column)
        error = (column - grids[-1].restored(q[:, i : i + 1])) / inverse[i, i]
        work[:, i + 1 :] -= error @ inverse[i : i + 1, i + 1 :]
        errors[:, i : i + 1] = error
    return q, errors, grids


def _inverse_root(curvature: Curvature, work: torch.Tensor, damping: float) -> torch.Tensor:
    """The upper Cholesky factor of the damped curvature's inverse; inputs that were always 0 get weights of 0."""
    h = curvature.sum.double().clone()
    if not bool(h.isfinite().all()):
        raise ModelError("calibration gives inputs that are NaN or infinite; look at the model or the data")
    dead = h.diagonal() == 0
    h[dead, dead] = 1.0
    work[:, dead] = 0.0
    h.diagonal().add_(damping * h.diagonal().mean())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(h))
    root: torch.Tensor = torch.linalg.cholesky(inverse, upper=True)
    return root.float()
