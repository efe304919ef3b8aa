"""Reading by index."""

from __future__ import annotations

import math

import torch

from ..call import Call, Implementation, require_indices


def _gather(call: Call) -> torch.Tensor:
    x, indices = call.tensor("x"), call.tensor("indices")
    axis, batch = call.axis("axis", x.dim(), 0), call.integer("batch_dims", 0)
    places = require_indices(call, indices, x.shape[axis], negative=call.ios < 17)
    if not batch:
        picked = x.index_select(axis, places.reshape(-1))
        return picked.reshape([*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]])
    # Each batch reads from its own part of x.
    count = math.prod(x.shape[:batch])
    rows, many = x.reshape(count, *x.shape[batch:]), places.reshape(count, *indices.shape[batch:])
    parts = [row.index_select(axis - batch, each.reshape(-1)) for row, each in zip(rows, many, strict=True)]
    shape = [*x.shape[:axis], *indices.shape[batch:], *x.shape[axis + 1 :]]
    return torch.stack(parts).reshape(shape)


def _along_axis(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    axis = call.axis("axis", x.dim(), 0)
    places = require_indices(call, call.tensor("indices"), x.shape[axis], negative=call.ios < 17)
    return x.gather(axis, places)


def _nd(call: Call) -> torch.Tensor:
    x, indices, batch = call.tensor("x"), call.tensor("indices"), call.integer("batch_dims", 0)
    count = math.prod(x.shape[:batch])
    rows, many = x.reshape(count, *x.shape[batch:]), indices.reshape(count, *indices.shape[batch:])
    parts = [row[nd_index(call, row, each)] for row, each in zip(rows, many, strict=True)]
    return torch.stack(parts).reshape([*indices.shape[:-1], *x.shape[batch + indices.shape[-1] :]])


def nd_index(call: Call, x: torch.Tensor, indices: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the last axis of ``indices`` as an index into the first dimensions of ``x``."""
    return tuple(
        require_indices(call, indices[..., axis], x.shape[axis], negative=call.ios < 17)
        for axis in range(indices.shape[-1])
    )


OPS: dict[str, Implementation] = {"gather": _gather, "gather_along_axis": _along_axis, "gather_nd": _nd}
