"""What goes into and comes out of a Core ML model, and how torch's tensors become that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.profile import EnumeratedShapes, ShapeRange, TargetProfile

from .deployment import require

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ...source import ModelSource

Arrays = dict[str, "NDArray[Any]"]

# Core ML exchanges float32, float16 and int32 (int8 from iOS 26 on); coremltools turns the others into these.
_EXCHANGED = {"float64": "float32", "bool": "float32", "bfloat16": "float32"}
_WHOLE = ("int64", "int32", "int16", "int8", "uint8")


def io_dtype(dtype: torch.dtype, target: TargetProfile) -> str:
    """Return the name of the numpy dtype in which Core ML exchanges a tensor of torch's ``dtype``."""
    name = str(dtype).removeprefix("torch.")
    if name in _WHOLE:
        return "int32"
    return _EXCHANGED.get(name, name)


@dataclass(frozen=True)
class Feature:
    """One input: its name in torch and in Core ML, and the dtype that Core ML takes."""

    name: str
    dtype: str

    def encoded(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return torch's array as Core ML takes it."""
        return np.ascontiguousarray(value.astype(self.dtype)).reshape(value.shape)


def input_features(source: ModelSource, target: TargetProfile) -> tuple[Feature, ...]:
    """Return the inputs in the order of forward's arguments. Raises ExportError for what the target's OS can't take."""
    made = tuple(Feature(name, io_dtype(value.dtype, target)) for name, value in source.inputs.items())
    for each in made:
        if each.dtype == "float16":
            require(target, 16, f"input {each.name!r} in float16")
    return made


def encoded(features: tuple[Feature, ...], arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return torch's inputs by name as Core ML takes them."""
    return {each.name: each.encoded(arrays[each.name]) for each in features}


def input_types(features: tuple[Feature, ...], source: ModelSource, target: TargetProfile, ct: Any) -> list[Any]:
    """Return coremltools' types of the inputs, with the shapes that the target's profile allows."""
    return [
        ct.TensorType(
            name=each.name,
            shape=shape_of(target.shapes.get(each.name), tuple(source.inputs[each.name].shape), ct),
            dtype=_given_dtype(source.inputs[each.name], each, ct),
        )
        for each in features
    ]


def _given_dtype(value: torch.Tensor, feature: Feature, ct: Any) -> Any:
    # A bool must be declared as one, so that coremltools casts the float32 that Core ML exchanges for it.
    from coremltools.converters.mil.mil import types

    return types.bool if str(value.dtype) == "torch.bool" else np.dtype(feature.dtype).type


def shape_of(wanted: Any, example: tuple[int, ...], ct: Any) -> Any:
    """Return a profile's shape of an input in coremltools' words; without one, that of the example."""
    if isinstance(wanted, EnumeratedShapes):
        return ct.EnumeratedShapes(
            shapes=[list(each) for each in wanted.enumerated], default=list(wanted.enumerated[0])
        )
    if isinstance(wanted, ShapeRange):
        bounds = zip(wanted.min, wanted.opt, wanted.max, strict=True)
        dims = [low if low == high else ct.RangeDim(low, high, default) for low, default, high in bounds]
        return ct.Shape(shape=dims)
    return ct.Shape(shape=list(wanted or example))
