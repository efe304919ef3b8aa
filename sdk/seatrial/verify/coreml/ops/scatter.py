"""Writing by index: replacing, or combining with what is there; an index may come more than once."""

from __future__ import annotations

import torch

from ..call import Call, Implementation, require_indices

# What torch.scatter_reduce calls them; sub and div combine the updates first.
_REDUCTIONS = {"add": "sum", "sub": "sum", "mul": "prod", "div": "prod", "max": "amax", "min": "amin"}


def _along_axis(call: Call) -> torch.Tensor:
    data, updates = call.tensor("data"), call.tensor("updates")
    axis = call.axis("axis", data.dim(), 0)
    places = require_indices(call, call.tensor("indices"), data.shape[axis], negative=call.ios < 17)
    return _combined(call, data, axis, places, updates)


def _scatter(call: Call) -> torch.Tensor:
    data, updates = call.tensor("data"), call.tensor("updates")
    axis = call.axis("axis", data.dim(), 0)
    places = require_indices(call, call.tensor("indices"), data.shape[axis], negative=call.ios < 17)
    row = places.reshape([-1 if i == axis else 1 for i in range(data.dim())])
    return _combined(call, data, axis, row.expand(updates.shape), updates)


def _nd(call: Call) -> torch.Tensor:
    data, indices, updates = call.tensor("data"), call.tensor("indices"), call.tensor("updates")
    depth = indices.shape[-1]
    rows = data.reshape(-1, *data.shape[depth:]) if depth else data.unsqueeze(0)
    place = torch.zeros(indices.shape[:-1], dtype=torch.long)
    for axis in range(depth):
        found = require_indices(call, indices[..., axis], data.shape[axis], negative=call.ios < 17)
        place = place * data.shape[axis] + found
    flat = rows.reshape(rows.shape[0], -1)
    values = updates.reshape(place.numel(), -1)
    made = _combined(call, flat, 0, place.reshape(-1, 1).expand(values.shape), values)
    return made.reshape(data.shape)


def _combined(call: Call, data: torch.Tensor, axis: int, places: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
    """Return ``data`` with ``updates`` at ``places``, which have the same shape, along ``axis``."""
    mode = call.text("mode", "add")
    if mode == "update":
        return data.scatter(axis, places, updates)
    if mode not in _REDUCTIONS:
        raise call.error(f"has mode {mode!r}, which is none")
    if mode == "sub":
        updates = -updates
    if mode == "div":
        whole = torch.ones_like(data).scatter_reduce(axis, places, updates, "prod")
        return data / whole if data.is_floating_point() else torch.div(data, whole, rounding_mode="trunc")
    return data.scatter_reduce(axis, places, updates, _REDUCTIONS[mode])


OPS: dict[str, Implementation] = {"scatter": _scatter, "scatter_along_axis": _along_axis, "scatter_nd": _nd}
