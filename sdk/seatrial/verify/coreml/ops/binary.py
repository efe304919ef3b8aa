"""Elementwise operations on two tensors, broadcast as numpy does."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..call import Call, Implementation

Function = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

_PLAIN: dict[str, Function] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "floor_div": torch.floor_divide,
    "mod": torch.remainder,
    "pow": torch.pow,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
}


def _of(function: Function) -> Implementation:
    return lambda call: function(call.tensor("x"), call.tensor("y"))


def _real_div(call: Call) -> torch.Tensor:
    x, y = call.tensor("x"), call.tensor("y")
    return x / y if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


OPS: dict[str, Implementation] = {**{name: _of(function) for name, function in _PLAIN.items()}, "real_div": _real_div}
