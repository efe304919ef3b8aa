"""From a profile's shapes to torch.export's dynamic shapes, and to the inputs that the model is captured with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ExportError, did_you_mean
from seatrial_targets.profile import EnumeratedShapes, ShapeRange, TargetProfile

if TYPE_CHECKING:
    import torch

    from ..source import ModelSource

Bounds = tuple[tuple[int, int], ...]  # for each axis: smallest and largest size


@dataclass(frozen=True)
class ShapePlan:
    """How the inputs' shapes may vary.

    ``dynamic`` is for torch.export (None: all fixed), ``traced`` the tensors to capture with, ``corners`` further
    shapes (input name -> shape) at which the exported artifact must agree with torch.
    """

    dynamic: dict[str, Any] | None
    traced: dict[str, torch.Tensor]
    corners: tuple[dict[str, tuple[int, ...]], ...]


def plan_shapes(source: ModelSource, target: TargetProfile) -> ShapePlan:
    """Plan the capture of ``source`` for ``target``. Raises ExportError when shapes and inputs do not fit."""
    _check_names(source, target)
    bounds = {name: _bounds(name, shape, source.inputs[name], target) for name, shape in target.shapes.items()}
    given = given_shapes(source)
    dynamic = {name: _dims(bounds[name]) if name in bounds else given.get(name) for name in source.inputs}
    traced = {name: _traceable(value, bounds.get(name)) for name, value in source.inputs.items()}
    varies = any(dynamic.values())
    return ShapePlan(dynamic if varies else None, traced if varies else dict(source.inputs), _corners(source, target))


def resized(value: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Return ``value`` repeated or cut to ``shape``: other sizes, the same range of values."""
    import torch

    return torch.from_numpy(np.resize(value.numpy(), shape).copy()) if tuple(value.shape) != shape else value


def _check_names(source: ModelSource, target: TargetProfile) -> None:
    for name in target.shapes:
        if name not in source.inputs:
            raise ExportError(
                f"target {target.name!r} gives a shape for input {name!r}, which the model has not"
                f"{did_you_mean(name, source.inputs)}; its inputs: {', '.join(source.inputs)}"
            )


def _bounds(name: str, shape: Any, example: torch.Tensor, target: TargetProfile) -> Bounds:
    found = tuple(example.shape)
    bounds = _axis_bounds(shape)
    fits = len(bounds) == len(found) and all(low <= n <= high for n, (low, high) in zip(found, bounds, strict=True))
    if isinstance(shape, EnumeratedShapes):
        fits = fits and found in shape.enumerated
    if not fits:
        raise ExportError(
            f"example input {name!r} has shape {list(found)}, target {target.name!r} allows {_words(shape)}; "
            "change the example input or the target's shapes"
        )
    return bounds


def _axis_bounds(shape: Any) -> Bounds:
    if isinstance(shape, EnumeratedShapes):
        return tuple((min(axis), max(axis)) for axis in zip(*shape.enumerated, strict=True))
    if isinstance(shape, ShapeRange):
        return tuple(zip(shape.min, shape.max, strict=True))
    return tuple((n, n) for n in shape)


def _words(shape: Any) -> str:
    if isinstance(shape, EnumeratedShapes):
        return " or ".join(str(list(each)) for each in shape.enumerated)
    if isinstance(shape, ShapeRange):
        return f"{list(shape.min)} to {list(shape.max)}"
    return str(list(shape))


def _dims(bounds: Bounds) -> dict[int, Any] | None:
    import torch

    # DYNAMIC rather than a named Dim: two inputs that share a dimension need not be told to torch.export.
    moving = {
        axis: torch.export.Dim.DYNAMIC(min=low, max=high) for axis, (low, high) in enumerate(bounds) if low != high
    }
    return moving or None


def _traceable(value: torch.Tensor, bounds: Bounds | None) -> torch.Tensor:
    # torch.export takes sizes 0 and 1 for constants, so that a dimension that varies is captured at 2 or more.
    if bounds is None:
        return value
    sizes = zip(value.shape, bounds, strict=True)
    return resized(value, tuple(max(n, min(2, high)) if low != high else n for n, (low, high) in sizes))


def given_shapes(source: ModelSource) -> dict[str, Any]:
    """Return the source's dynamic_shapes by input name; {} without any. Raises ExportError when they do not fit."""
    shapes = source.dynamic_shapes
    if shapes is None:
        return {}
    if isinstance(shapes, Mapping):
        for name in shapes:
            if name not in source.inputs:
                raise ExportError(
                    f"dynamic_shapes names {name!r}, no input of the model{did_you_mean(name, source.inputs)}"
                )
        return dict(shapes)
    if isinstance(shapes, list | tuple) and len(shapes) == len(source.inputs):
        return dict(zip(source.inputs, shapes, strict=True))
    raise ExportError(f"dynamic_shapes must have an entry for each of the inputs: {', '.join(source.inputs)}")


def _corners(source: ModelSource, target: TargetProfile) -> tuple[dict[str, tuple[int, ...]], ...]:
    lists = {name: _all_shapes(shape) for name, shape in target.shapes.items()}
    count = max(map(len, lists.values()), default=0)
    rows = [{name: each[min(i, len(each) - 1)] for name, each in lists.items()} for i in range(count)]
    usual = {name: tuple(value.shape) for name, value in source.inputs.items()}
    return tuple(row for row in rows if any(row[name] != usual[name] for name in row))


def _all_shapes(shape: Any) -> list[tuple[int, ...]]:
    if isinstance(shape, EnumeratedShapes):
        return list(shape.enumerated)
    return [shape.min, shape.opt, shape.max] if isinstance(shape, ShapeRange) else [tuple(shape)]
