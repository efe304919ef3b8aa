"""Adaptive rounding: weights are rounded one after the other, and those that are left make up for the error so far.

The error is that of the layer's outputs on calibration data: (W - Q) H (W - Q)^T with H = sum of x x^T. Greedy and in
closed form, as in Frantar et al., "Optimal Brain Compression", NeurIPS 2022, and GPTQ; it aims at what AdaRound (Nagel
et al., "Up or Down?", ICML 2020) finds by gradient descent, within seconds on a CPU. Scales stay as they are.
"""

from __future__ import annotations

import torch

from .unfolding import inverse_root


def rounded(weight: torch.Tensor, scale: torch.Tensor, levels: tuple[int, int], h: torch.Tensor) -> torch.Tensor:
    """Return the integers (G, N, K), int8, for weights (G, N, K) with scales (G, N, 1).

    ``h``: (G, K, K), for each group of channels the sum of x x^T over its inputs, in float64. Never worse than rounding
    to the nearest: rows whose error would be larger are rounded so. Weights that are 0 stay 0: they were pruned.
    """
    nearest = (weight / scale).round().clamp(*levels)
    found = _greedy(weight, scale, levels, inverse_root(h))
    better = _errors(weight - found * scale, h) < _errors(weight - nearest * scale, h)
    return torch.where(better[..., None], found, nearest).to(torch.int8)


def _greedy(weight: torch.Tensor, scale: torch.Tensor, levels: tuple[int, int], root: torch.Tensor) -> torch.Tensor:
    work, made = weight.double().clone(), torch.empty_like(weight)
    step = scale[..., 0].double()
    for i in range(work.shape[-1]):
        q = (work[..., i] / step).round().clamp(*levels)
        q = torch.where(weight[..., i] == 0, 0.0, q)
        made[..., i] = q.to(made.dtype)
        error = (work[..., i] - q * step) / root[:, None, i, i]
        work[..., i:] -= error[..., None] * root[:, None, i, i:]
    return made


def _errors(difference: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """The squared error of each row's outputs, (G, N)."""
    wide = difference.double()
    return torch.einsum("gnk,gnk->gn", wide @ h, wide)
