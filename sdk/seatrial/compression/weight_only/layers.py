"""Layers that hold integers and compute in floating point; in a captured graph they are what the contract says.

See quantized_program.py: `dequantize_per_channel_group` on a constant that is named like the layer's weight.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..quantized_program import register
from .grid import Grid, levels


class WeightOnlyLinear(nn.Module):
    """A linear layer with an int8 weight (N, K) whose values may have 4 bits, and a scale for each group along K."""

    def __init__(self, quantized: torch.Tensor, grid: Grid, bias: torch.Tensor | None) -> None:
        super().__init__()
        register()
        self.out_features, self.in_features = quantized.shape
        self.bits, self.group_size = grid.bits, quantized.shape[1] // grid.scale.shape[1]
        self.register_buffer("weight", quantized.contiguous())
        self.register_buffer("weight_scale", grid.scale.float().contiguous())
        # int32: torch subtracts it from the weight, and int8 from int8 would overflow
        self.register_buffer("weight_zero_point", grid.zero_point.contiguous())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone(), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (..., K) to (..., N)."""
        low, high = levels(self.bits)
        weight = torch.ops.quantized_decomposed.dequantize_per_channel_group(
            self.weight, self.weight_scale, self.weight_zero_point, low, high, torch.int8, self.group_size,
            torch.float32,
        )  # fmt: skip
        return functional.linear(x, weight, self.bias)

    def extra_repr(self) -> str:
        """Return what print shows."""
        return f"{self.in_features}, {self.out_features}, bits={self.bits}, group_size={self.group_size}"


class WeightOnlyEmbedding(nn.Module):
    """A table of embeddings as int8, with a scale for each row; rows are looked up first and restored afterwards."""

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        table = table.detach().float()
        scale = (table.abs().amax(1, keepdim=True) / 127.0).clamp(min=1e-12)
        self.num_embeddings, self.embedding_dim = table.shape
        self.register_buffer("weight", torch.round(table / scale).clamp(-127, 127).to(torch.int8))
        self.register_buffer("weight_scale", scale)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Map ids (...) to embeddings (..., D)."""
        return functional.embedding(ids, self.weight).to(torch.float32) * functional.embedding(ids, self.weight_scale)

    def extra_repr(self) -> str:
        """Return what print shows."""
        return f"{self.num_embeddings}, {self.embedding_dim}, bits=8"
