"""Products of matrices; sums are in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..call import Call, Implementation


def _linear(call: Call) -> torch.Tensor:
    return F.linear(call.tensor("x"), call.tensor("weight"), call.maybe("bias"))


def _matmul(call: Call) -> torch.Tensor:
    x, y = call.tensor("x"), call.tensor("y")
    x = x.transpose(-1, -2) if call.flag("transpose_x", False) and x.dim() > 1 else x
    y = y.transpose(-1, -2) if call.flag("transpose_y", False) and y.dim() > 1 else y
    return torch.matmul(x, y)


def _einsum(call: Call) -> torch.Tensor:
    return torch.einsum(call.text("equation"), *call.tensors("values"))


OPS: dict[str, Implementation] = {"linear": _linear, "matmul": _matmul, "einsum": _einsum}
