"""Reductions; sums are in float32."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..call import Call, Implementation

Function = Callable[[torch.Tensor, list[int]], torch.Tensor]  # keeps the dimensions


def _prod(x: torch.Tensor, axes: list[int]) -> torch.Tensor:
    for axis in axes:
        x = x.prod(axis, keepdim=True)
    return x


_PLAIN: dict[str, Function] = {
    "reduce_l1_norm": lambda x, axes: x.abs().sum(axes, keepdim=True),
    "reduce_l2_norm": lambda x, axes: x.square().sum(axes, keepdim=True).float().sqrt(),
    "reduce_log_sum": lambda x, axes: x.sum(axes, keepdim=True).float().log(),
    "reduce_log_sum_exp": lambda x, axes: torch.logsumexp(x.float(), axes, keepdim=True),
    "reduce_max": lambda x, axes: x.amax(axes, keepdim=True),
    "reduce_mean": lambda x, axes: x.float().mean(axes, keepdim=True),
    "reduce_min": lambda x, axes: x.amin(axes, keepdim=True),
    "reduce_prod": _prod,
    "reduce_sum": lambda x, axes: x.sum(axes, keepdim=True),
    "reduce_sum_square": lambda x, axes: x.square().sum(axes, keepdim=True),
}


def _of(function: Function) -> Implementation:
    def implementation(call: Call) -> torch.Tensor:
        x = call.tensor("x")
        axes = call.axes("axes", x.dim())
        made = function(x, axes)
        made = made if made.is_floating_point() == x.is_floating_point() else made.trunc().to(x.dtype)
        return made if call.flag("keep_dims", False) else made.squeeze(tuple(axes))

    return implementation


def _arg(function: Callable[..., torch.Tensor]) -> Implementation:
    def implementation(call: Call) -> torch.Tensor:
        x = call.tensor("x")
        return function(x, call.axis("axis", x.dim(), -1), keepdim=call.flag("keep_dims", False))

    return implementation


OPS: dict[str, Implementation] = {
    **{name: _of(function) for name, function in _PLAIN.items()},
    "reduce_argmax": _arg(torch.argmax),
    "reduce_argmin": _arg(torch.argmin),
}
