"""Operations that give a tensor another shape, or make tensors of a shape."""

from __future__ import annotations

import math

import torch

from ..call import Call, Implementation


def _reshape(call: Call) -> torch.Tensor:
    x, shape = call.tensor("x"), call.integers("shape")
    if call.ios < 17:
        if 0 in shape and x.numel() and len(shape) != x.dim():
            raise call.error(f"has shape {shape} with a 0 for an input of {x.dim()} dimensions")
        filled = [x.shape[axis] if n == 0 and axis < x.dim() else n for axis, n in enumerate(shape)]
    else:
        # A 0 takes the size of the dimension as far from the end, or 1 where there is none.
        offset = len(shape) - x.dim()
        filled = [(x.shape[i - offset] if i >= offset else 1) if n == 0 else n for i, n in enumerate(shape)]
    if -1 not in filled and math.prod(filled) != x.numel():
        raise call.error(f"gives shape {filled} to {x.numel()} values")
    return x.reshape(filled)


def _reshape_like(call: Call) -> torch.Tensor:
    shape: list[int] = []
    parts = zip(call.values("ref_tensors"), call.values("begins"), call.values("ends"), strict=True)
    for (tensor, begin, end), whole in zip(parts, call.values("end_masks"), strict=True):
        shape += tensor.shape[int(begin) :] if bool(whole) else tensor.shape[int(begin) : int(end)]
    return call.tensor("x").reshape(shape)


def _expand_dims(call: Call) -> torch.Tensor:
    x, axes = call.tensor("x"), call.integers("axes")
    rank = x.dim() + len(axes)
    for axis in sorted(call.positive(each, rank) for each in axes):
        x = x.unsqueeze(axis)
    return x


def _squeeze(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    return x.squeeze(tuple(call.axes("axes", x.dim())))


def _transpose(call: Call) -> torch.Tensor:
    x = call.tensor("x")
    return x.permute(call.axes("perm", x.dim()))


def _flatten2d(call: Call) -> torch.Tensor:
    x, axis = call.tensor("x"), call.integer("axis", 1)
    axis = axis + x.dim() if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _shape(call: Call) -> torch.Tensor:
    return torch.tensor(list(call.tensor("x").shape), dtype=torch.int32)


def _concat(call: Call) -> torch.Tensor:
    values = call.tensors("values")
    if values[0].dim() == 0:
        return torch.stack(values)
    axis = call.axis("axis", values[0].dim())
    if call.flag("interleave", False):
        return torch.stack(values, axis + 1).flatten(axis, axis + 1)
    return torch.cat(values, axis)


def _stack(call: Call) -> torch.Tensor:
    values = call.tensors("values")
    return torch.stack(values, call.axis("axis", values[0].dim() + 1))


def _split(call: Call) -> tuple[torch.Tensor, ...]:
    x = call.tensor("x")
    axis = call.axis("axis", x.dim())
    sizes = call.integers("split_sizes") if call.has("split_sizes") else x.shape[axis] // call.integer("num_splits")
    return tuple(x.split(sizes, axis))


def _tile(call: Call) -> torch.Tensor:
    return call.tensor("x").repeat(*call.integers("reps"))


def _identity(call: Call) -> object:
    return call.value("x")


def _fill(call: Call) -> torch.Tensor:
    return _filled(call, call.integers("shape"))


def _fill_like(call: Call) -> torch.Tensor:
    return _filled(call, list(call.tensor("ref_tensor").shape))


def _filled(call: Call, shape: list[int]) -> torch.Tensor:
    value = call.maybe("value")
    return torch.zeros(shape) if value is None else value.reshape(()).expand(shape).clone()


def _range_1d(call: Call) -> torch.Tensor:
    start, end, step = (call.tensor(name).reshape(()) for name in ("start", "end", "step"))
    count = max(math.ceil((float(end) - float(start)) / float(step)), 0)
    return start + step * torch.arange(count, dtype=start.dtype)


def _one_hot(call: Call) -> torch.Tensor:
    indices, size = call.tensor("indices"), call.integer("one_hot_vector_size")
    axis = call.axis("axis", indices.dim() + 1, -1)
    places = torch.arange(size).reshape([-1 if i == axis else 1 for i in range(indices.dim() + 1)])
    on, off = call.maybe("on_value"), call.maybe("off_value")
    on = torch.tensor(1, dtype=torch.int32) if on is None else on.reshape(())
    return torch.where(indices.unsqueeze(axis) == places, on, torch.zeros_like(on) if off is None else off.reshape(()))


OPS: dict[str, Implementation] = {
    "reshape": _reshape,
    "reshape_like": _reshape_like,
    "expand_dims": _expand_dims,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "flatten2d": _flatten2d,
    "shape": _shape,
    "concat": _concat,
    "stack": _stack,
    "split": _split,
    "tile": _tile,
    "identity": _identity,
    "fill": _fill,
    "fill_like": _fill_like,
    "range_1d": _range_1d,
    "one_hot": _one_hot,
}
