"""Adaptive rounding: weights are rounded one after the other, and those that are left make up for the error so far.

The error is that of the layer's outputs on calibration data: (W - Q) H (W - Q)^T with H = sum of x x^T. Greedy and in
closed form, as in Frantar et al., "Optimal Brain Compression", NeurIPS 2022, and GPTQ; it aims at what AdaRound (Nagel
et al., "Up or Down?", ICML 2020) finds by gradient descent, within seconds on a CPU. Scales stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_ATEN = torch.ops.aten
MOST_ROWS = 8192  # positions of a feature map that are looked at, per batch
DAMPING = 0.01


def rounded(weight: torch.Tensor, scale: torch.Tensor, levels: tuple[int, int], h: torch.Tensor) -> torch.Tensor:
    """Return the integers (G, N, K), int8, for weights (G, N, K) with scales (G, N, 1).

    ``h``: (G, K, K), for each group of channels the sum of x x^T over its inputs, in float64. Never worse than rounding
    to the nearest: rows whose error would be larger are rounded so.
    """
    nearest = (weight / scale).round().clamp(*levels)
    found = _greedy(weight, scale, levels, _inverse_root(h))
    better = _errors(weight - found * scale, h) < _errors(weight - nearest * scale, h)
    return torch.where(better[..., None], found, nearest).to(torch.int8)


def _greedy(weight: torch.Tensor, scale: torch.Tensor, levels: tuple[int, int], root: torch.Tensor) -> torch.Tensor:
    work, made = weight.double().clone(), torch.empty_like(weight)
    step = scale[..., 0].double()
    for i in range(work.shape[-1]):
        q = (work[..., i] / step).round().clamp(*levels)
        made[..., i] = q.to(made.dtype)
        error = (work[..., i] - q * step) / root[:, None, i, i]
        work[..., i:] -= error[..., None] * root[:, None, i, i:]
    return made


def _errors(difference: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """The squared error of each row's outputs, (G, N)."""
    wide = difference.double()
    return torch.einsum("gnk,gnk->gn", wide @ h, wide)


def _inverse_root(h: torch.Tensor) -> torch.Tensor:
    """The upper Cholesky factor of the damped inverse, (G, K, K)."""
    damped = h.clone()
    diagonal = damped.diagonal(dim1=-2, dim2=-1)
    mean = diagonal.mean(dim=-1, keepdim=True)
    diagonal += DAMPING * mean + (mean == 0).double()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    root: torch.Tensor = torch.linalg.cholesky(inverse, upper=True)
    return root


def curvature(node: Any, weight: torch.Tensor, inputs: Sequence[torch.Tensor], centred: bool) -> torch.Tensor | None:
    """Return H (G, K, K) of a layer's inputs, or None for a kind of layer that is not known here.

    ``weight``: the layer's, (N, K) of a linear layer or (N, K / area, height, width) of a convolution; ``node``: its
    call in the graph. ``centred``: take the mean out of the inputs, since the bias will make up for the mean error;
    rounding that also minds the mean spends on it what the bias has for nothing.
    """
    rows = _rows_of(node, weight)
    if rows is None:
        return None
    found = torch.cat([_thinned(rows(value)) for value in inputs], dim=1).double()  # (G, positions, K)
    if centred:
        found = found - found.mean(dim=1, keepdim=True)
    return found.transpose(1, 2) @ found


def _thinned(rows: torch.Tensor) -> torch.Tensor:
    return rows[:, :: max(1, rows.shape[1] // MOST_ROWS)]


def _rows_of(node: Any, weight: torch.Tensor) -> Any:
    if node.target == _ATEN.linear.default:
        return lambda value: value.reshape(1, -1, value.shape[-1])
    if node.target != _ATEN.conv2d.default:
        return None
    given = [*node.args, *([None] * 7)][3:7]
    stride, padding, dilation = (_pair(each, default) for each, default in zip(given, (1, 0, 1), strict=False))
    groups = given[3] or 1

    def rows(value: torch.Tensor) -> torch.Tensor:
        columns = torch.nn.functional.unfold(
            value, weight.shape[2:], dilation=dilation, padding=padding, stride=stride
        )  # (B, C x area, positions)
        split = columns.reshape(columns.shape[0], groups, -1, columns.shape[-1])
        return split.permute(1, 0, 3, 2).reshape(groups, -1, split.shape[2])

    return rows


def _pair(value: Any, default: int) -> tuple[int, int]:
    if value is None:
        return (default, default)
    both = tuple(value) if isinstance(value, list | tuple) else (value,)
    return (both[0], both[-1])
