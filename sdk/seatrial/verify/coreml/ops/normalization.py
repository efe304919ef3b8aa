"""Normalizations; means and variances are in float32."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812

from ..call import Call, Implementation


def _batch_norm(call: Call) -> torch.Tensor:
    return F.batch_norm(
        call.tensor("x"), call.tensor("mean"), call.tensor("variance"), call.maybe("gamma"), call.maybe("beta"),
        training=False, eps=call.number("epsilon", 1e-5),
    )  # fmt: skip


def _instance_norm(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    axes = list(range(2, x.dim()))
    made = _normalized(x, axes, call.number("epsilon", 1e-5))
    return _scaled(call, made, [1, -1] + [1] * len(axes))


def _layer_norm(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    axes = call.axes("axes", x.dim())
    shape = [n if axis in axes else 1 for axis, n in enumerate(x.shape)]
    return _scaled(call, _normalized(x, axes, call.number("epsilon", 1e-5)), shape)


def _normalized(x: torch.Tensor, axes: list[int], epsilon: float) -> torch.Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(axes, keepdim=True) + epsilon)


def _scaled(call: Call, x: torch.Tensor, shape: list[int]) -> torch.Tensor:
    gamma, beta = call.maybe("gamma"), call.maybe("beta")
    x = x if gamma is None else x * gamma.reshape(shape)
    return x if beta is None else x + beta.reshape(shape)


def _l2_norm(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    total = x.square().sum((-3, -2, -1), keepdim=True)
    return x / torch.sqrt(total + call.number("epsilon", 1e-6))


def _local_response_norm(call: Call) -> torch.Tensor:
    return F.local_response_norm(
        call.tensor("x"), call.integer("size"), call.number("alpha", 1e-4), call.number("beta", 0.75),
        call.number("k", 1.0),
    )  # fmt: skip


OPS: dict[str, Implementation] = {
    "batch_norm": _batch_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "l2_norm": _l2_norm,
    "local_response_norm": _local_response_norm,
}
