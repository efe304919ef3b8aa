"""A layer's inputs as rows that its weights are multiplied with, so that a layer is W x for each group of channels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

_ATEN = torch.ops.aten
MOST_ROWS = 8192  # positions of a feature map that are looked at, per batch


@dataclass(frozen=True)
class Unfolding:
    """How inputs become rows. ``kernel`` empty: a linear layer."""

    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1

    @classmethod
    def of_node(cls, node: Any, weight: torch.Tensor) -> Unfolding | None:
        """Read it off a call in a captured graph; None for a kind of layer that is not known here."""
        if node.target == _ATEN.linear.default:
            return cls()
        if node.target not in (_ATEN.conv1d.default, _ATEN.conv2d.default):
            return None
        axes = weight.ndim - 2
        given = [*node.args, *([None] * 7)][3:7]
        stride, padding, dilation = (_each(v, d, axes) for v, d in zip(given, (1, 0, 1), strict=False))
        return cls(tuple(weight.shape[2:]), stride, padding, dilation, given[3] or 1)

    @classmethod
    def of_layer(cls, layer: torch.nn.Module) -> Unfolding | None:
        """Read it off a module; None for a kind of layer that is not known here."""
        if isinstance(layer, torch.nn.Linear):
            return cls()
        plain = isinstance(layer, torch.nn.Conv1d | torch.nn.Conv2d) and layer.padding_mode == "zeros"
        if not plain or isinstance(layer.padding, str):
            return None
        return cls(layer.kernel_size, layer.stride, layer.padding, layer.dilation, layer.groups)

    def rows(self, value: torch.Tensor) -> torch.Tensor:
        """Return (groups, positions, K): what each output position multiplies with its weights (N, K) of a group."""
        if not self.kernel:
            return value.reshape(1, -1, value.shape[-1])
        if len(self.kernel) == 1:
            flat = Unfolding((1, *self.kernel), (1, *self.stride), (0, *self.padding), (1, *self.dilation), self.groups)
            return flat.rows(value.unsqueeze(-2))
        columns = torch.nn.functional.unfold(value, self.kernel, self.dilation, self.padding, self.stride)
        split = columns.reshape(columns.shape[0], self.groups, -1, columns.shape[-1])
        return split.permute(1, 0, 3, 2).reshape(self.groups, -1, split.shape[2])

    def curvature(self, inputs: Sequence[torch.Tensor], centred: bool = False) -> torch.Tensor:
        """Return H (groups, K, K), the sum of x x^T over the rows, in float64.

        ``centred``: take the mean out of the inputs first, for a layer whose bias will make up for the mean error.
        """
        found = torch.cat([_thinned(self.rows(value)) for value in inputs], dim=1).double()
        if centred:
            found = found - found.mean(dim=1, keepdim=True)
        return found.transpose(1, 2) @ found


def grouped(weight: torch.Tensor, groups: int) -> torch.Tensor:
    """Return weights (N, ...) as (groups, N / groups, K)."""
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def inverse_root(h: torch.Tensor, damping: float = 0.01) -> torch.Tensor:
    """Return the upper Cholesky factor of the inverse of ``h`` (G, K, K), damped by a part of its mean diagonal."""
    damped = h.clone()
    diagonal = damped.diagonal(dim1=-2, dim2=-1)
    mean = diagonal.mean(dim=-1, keepdim=True)
    diagonal += damping * mean + (mean == 0).double()
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    root: torch.Tensor = torch.linalg.cholesky(inverse, upper=True)
    return root


def _thinned(rows: torch.Tensor) -> torch.Tensor:
    return rows[:, :: max(1, rows.shape[1] // MOST_ROWS)]


def _each(value: Any, default: int, axes: int) -> tuple[int, ...]:
    if value is None:
        return (default,) * axes
    both = tuple(value) if isinstance(value, list | tuple) else (value,)
    return both if len(both) == axes else both * axes
