"""Activations."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from ..call import Call, Implementation

Function = Callable[[torch.Tensor], torch.Tensor]

_PLAIN: dict[str, Function] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "softsign": F.softsign,
    "softplus": lambda x: F.softplus(x, threshold=float("inf")),
}
_WITH_ALPHA: dict[str, Callable[[torch.Tensor, float], torch.Tensor]] = {
    "elu": lambda x, alpha: torch.where(x > 0, x, alpha * torch.expm1(x)),
    "leaky_relu": lambda x, alpha: torch.where(x >= 0, x, alpha * x),
    "thresholded_relu": lambda x, alpha: torch.where(x >= alpha, x, torch.zeros_like(x)),
}
_WITH_BOTH: dict[str, Callable[[torch.Tensor, float, float], torch.Tensor]] = {
    "clamped_relu": lambda x, alpha, beta: torch.where(x >= 0, x, alpha * x).clamp_max(beta),
    "linear_activation": lambda x, alpha, beta: alpha * x + beta,
    "scaled_tanh": lambda x, alpha, beta: alpha * torch.tanh(beta * x),
    "sigmoid_hard": lambda x, alpha, beta: (alpha * x + beta).clamp(0, 1),
}


def _of(function: Function) -> Implementation:
    return lambda call: function(call.tensor("x"))


def _alpha(function: Callable[[torch.Tensor, float], torch.Tensor]) -> Implementation:
    return lambda call: function(call.tensor("x"), call.number("alpha"))


def _both(function: Callable[[torch.Tensor, float, float], torch.Tensor]) -> Implementation:
    return lambda call: function(call.tensor("x"), call.number("alpha"), call.number("beta"))


def _gelu(call: Call) -> torch.Tensor:
    x, mode = call.tensor("x"), call.text("mode", "EXACT")
    if mode == "SIGMOID_APPROXIMATION":
        return x * torch.sigmoid(1.702 * x)
    return F.gelu(x, approximate="tanh" if mode == "TANH_APPROXIMATION" else "none")


def _per_channel(x: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Return ``vector`` [C] in the shape in which it spreads over x [n, C, ...]."""
    return vector.reshape([1, -1] + [1] * (x.dim() - 2))


def _prelu(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    return torch.where(x > 0, x, _per_channel(x, call.tensor("alpha")) * x)


def _softplus_parametric(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    alpha, beta = _per_channel(x, call.tensor("alpha")), _per_channel(x, call.tensor("beta"))
    return alpha * F.softplus(beta * x, threshold=float("inf"))


def _softmax(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    return torch.softmax(x, call.axis("axis", x.dim(), -1))


OPS: dict[str, Implementation] = {
    **{name: _of(function) for name, function in _PLAIN.items()},
    **{name: _alpha(function) for name, function in _WITH_ALPHA.items()},
    **{name: _both(function) for name, function in _WITH_BOTH.items()},
    "gelu": _gelu,
    "prelu": _prelu,
    "softplus_parametric": _softplus_parametric,
    "softmax": _softmax,
}
