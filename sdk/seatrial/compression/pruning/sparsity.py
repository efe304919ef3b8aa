"""Which weights go: scores and masks of one layer, for any share of its weights or two of each four.

Weights are seen as rows (groups, outputs, K). For 2:4 K runs over the input channels first, since that is the axis
along which TensorRT counts to four.
"""

from __future__ import annotations

import torch

from ..quantization.unfolding import inverse_root

BLOCK = 128  # inputs whose masks are chosen at once by SparseGPT


def by_channel(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Return weights (N, C, *kernel) as rows (groups, N / groups, area x C): neighbours differ in the input channel."""
    return (
        weight.flatten(2).transpose(1, 2).reshape(groups, weight.shape[0] // groups, -1)
        if weight.ndim > 2
        else weight[None]
    )


def from_channels(rows: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Undo `by_channel`."""
    if len(shape) == 2:
        return rows[0]
    flat = rows.reshape(shape[0], -1, shape[1]).transpose(1, 2)
    return flat.reshape(shape)


def channel_order(shape: torch.Size) -> torch.Tensor:
    """Return where each K of `by_channel` is in the order (channel, area) that an unfolded input has."""
    area = 1
    for n in shape[2:]:
        area *= n
    return torch.arange(shape[1] * area).reshape(shape[1], area).T.reshape(-1)


def takes_two_of_four(weight: torch.Tensor) -> bool:
    """Return whether the layer's input channels can be counted in fours."""
    return bool(weight.shape[1] % 4 == 0)


def two_of_four(scores: torch.Tensor) -> torch.Tensor:
    """Return True for the two larger scores of each four neighbours (..., K)."""
    fours = scores.reshape(*scores.shape[:-1], -1, 4)
    best = fours.topk(2, dim=-1).indices
    return torch.zeros_like(fours, dtype=torch.bool).scatter_(-1, best, True).reshape(scores.shape)


def is_two_of_four(weight: torch.Tensor) -> bool:
    """Return whether each four weights (N, C, ...) along the input channels hold two zeros at least."""
    if not takes_two_of_four(weight):
        return False
    fours = by_channel(weight, 1).reshape(-1, 4)
    return bool(((fours == 0).sum(dim=1) >= 2).all())


def largest(scores: torch.Tensor, amount: float, by_row: bool) -> torch.Tensor:
    """Return True for all but the ``amount`` smallest scores (G, N, K): of each row, or of the whole."""
    rows = scores.reshape(scores.shape[0] * scores.shape[1], -1) if by_row else scores.reshape(1, -1)
    gone = round(rows.shape[1] * amount)
    worst = rows.argsort(dim=1, stable=True)[:, :gone]
    return torch.ones_like(rows, dtype=torch.bool).scatter_(1, worst, False).reshape(scores.shape)


def wanda_scores(rows: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """Return |w| times the norm of the input that it meets: rows (G, N, K), ``h`` (G, K, K)."""
    norms = h.diagonal(dim1=-2, dim2=-1).clamp(min=0).sqrt()
    return rows.abs() * norms[:, None].to(rows.dtype)


def sparsegpt(
    rows: torch.Tensor, h: torch.Tensor, amount: float | None, left: torch.Tensor | None = None
) -> torch.Tensor:
    """Return pruned rows (G, N, K), those that are left changed so that outputs stay near.

    ``amount`` None: two of each four. ``left``: weights that may still be chosen from (earlier rounds took the others).
    """
    root = inverse_root(h)
    work = rows.double().clone()
    for start in range(0, work.shape[-1], BLOCK):
        stop = min(start + BLOCK, work.shape[-1])
        _sparse_block(work, root, start, stop, amount, left)
    return work.to(rows.dtype)


def _sparse_block(
    work: torch.Tensor, root: torch.Tensor, start: int, stop: int, amount: float | None, left: torch.Tensor | None
) -> None:
    diagonal = root.diagonal(dim1=-2, dim2=-1)[:, None, start:stop]
    scores = (work[..., start:stop] / diagonal).square()
    if left is not None:
        scores = torch.where(left[..., start:stop], scores, -1.0)
    kept = two_of_four(scores) if amount is None else largest(scores, amount, by_row=False)
    for i in range(start, stop):
        error = torch.where(kept[..., i - start], 0.0, work[..., i]) / root[:, None, i, i]
        work[..., i:] -= error[..., None] * root[:, None, i, i:]
        work[..., i] = torch.where(kept[..., i - start], work[..., i], 0.0)
