"""Elementwise operations on one tensor."""

from __future__ import annotations

from collections.abc import Callable

import torch

from ..call import Call, Implementation
from ..types import FLOATS, TORCH

Function = Callable[[torch.Tensor], torch.Tensor]

_PLAIN: dict[str, Function] = {
    "abs": torch.abs,
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "atanh": torch.atanh,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "cosh": torch.cosh,
    "erf": torch.erf,
    "exp": torch.exp,
    "exp2": torch.exp2,
    "floor": torch.floor,
    "logical_not": torch.logical_not,
    "round": torch.round,
    "sign": torch.sign,
    "sin": torch.sin,
    "sinh": torch.sinh,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tan": torch.tan,
    "tanh": torch.tanh,
}


def _of(function: Function) -> Implementation:
    return lambda call: function(call.tensor("x"))


def _cast(call: Call) -> torch.Tensor:
    x, wanted = call.tensor("x"), call.text("dtype")
    if wanted not in TORCH:
        raise call.error(f"casts to {wanted!r}, which is no type")
    if wanted in FLOATS:
        return x.float()
    if wanted == "bool":
        return x != 0
    # Towards zero, as C does.
    return (x.trunc() if x.is_floating_point() else x).to(TORCH[wanted])


def _clip(call: Call) -> torch.Tensor:
    return call.tensor("x").clamp(call.number("alpha"), call.number("beta"))


def _inverse(call: Call) -> torch.Tensor:
    return 1.0 / (call.tensor("x") + call.number("epsilon", 1e-4))


def _log(call: Call) -> torch.Tensor:
    return torch.log(call.tensor("x") + call.number("epsilon", 1e-45))


def _rsqrt(call: Call) -> torch.Tensor:
    return torch.rsqrt(call.tensor("x") + call.number("epsilon", 1e-12))


def _threshold(call: Call) -> torch.Tensor:
    return call.tensor("x").clamp_min(call.number("alpha"))


OPS: dict[str, Implementation] = {
    **{name: _of(function) for name, function in _PLAIN.items()},
    "cast": _cast,
    "clip": _clip,
    "inverse": _inverse,
    "log": _log,
    "rsqrt": _rsqrt,
    "threshold": _threshold,
}
