"""Slices: by begin, end and stride, by size, and written into."""

from __future__ import annotations

import torch

from ..call import Call, Implementation


def _by_index(call: Call) -> torch.Tensor:
    picked = call.tensor("x")[_indices(call, call.tensor("x").shape)]
    axes = [axis for axis, gone in enumerate(call.flags("squeeze_mask", call.tensor("x").dim())) if gone]
    return picked.squeeze(tuple(axes)) if axes else picked


def _update(call: Call) -> torch.Tensor:
    x, update = call.tensor("x").clone(), call.tensor("update")
    where = _indices(call, x.shape)
    for axis, gone in enumerate(call.flags("squeeze_mask", x.dim())):
        update = update.unsqueeze(axis) if gone else update
    if x[where].shape != update.shape:
        raise call.error(f"writes {list(update.shape)} into a slice of {list(x[where].shape)}")
    x[where] = update
    return x


def _indices(call: Call, shape: torch.Size) -> tuple[torch.Tensor, ...]:
    """Return for each axis the indices of the slice, shaped so that together they pick its values."""
    rank = len(shape)
    begins, ends, strides = call.integers("begin"), call.integers("end"), call.integers("stride", [1] * rank)
    open_begin, open_end = call.flags("begin_mask", rank), call.flags("end_mask", rank)
    squeezed = call.flags("squeeze_mask", rank)
    if not len(begins) == len(ends) == rank:
        raise call.error(f"has {len(begins)} begins and {len(ends)} ends for {rank} dimensions")
    rows = []
    for axis, size in enumerate(shape):
        if squeezed[axis]:
            begin = 0 if open_begin[axis] else begins[axis]
            row = torch.tensor([_inside(call, begin, size)])
        else:
            begin_, end_ = None if open_begin[axis] else begins[axis], None if open_end[axis] else ends[axis]
            row = torch.tensor(range(*slice(begin_, end_, strides[axis]).indices(size)), dtype=torch.long)
        rows.append(row.reshape([-1 if i == axis else 1 for i in range(rank)]))
    return tuple(rows)


def _inside(call: Call, index: int, size: int) -> int:
    if not -size <= index < size:
        raise call.error(f"reads index {index} of {size}")
    return index % size


def _by_size(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    for axis, (begin, size) in enumerate(zip(call.integers("begin"), call.integers("size"), strict=True)):
        start = begin + x.shape[axis] if begin < 0 else begin
        count = x.shape[axis] - start if size == -1 else size
        if start < 0 or count < 0 or start + count > x.shape[axis]:
            raise call.error(f"takes {size} from {begin} on of {x.shape[axis]} along axis {axis}")
        x = x.narrow(axis, start, count)
    return x


OPS: dict[str, Implementation] = {"slice_by_index": _by_index, "slice_by_size": _by_size, "slice_update": _update}
