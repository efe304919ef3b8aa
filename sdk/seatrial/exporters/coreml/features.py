"""What goes into and comes out of a Core ML model, and how torch's tensors become that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.coreml import ImageInput
from seatrial_targets.errors import ExportError, did_you_mean
from seatrial_targets.profile import EnumeratedShapes, ShapeRange, TargetProfile

from .deployment import require

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from ...source import ModelSource

Arrays = dict[str, "NDArray[Any]"]

# Core ML exchanges float32, float16 and int32; coremltools turns the others into these.
_EXCHANGED = {"float64": "float32", "bool": "float32", "bfloat16": "float32"}
_WHOLE = ("int64", "int32", "int16", "int8", "uint8")


@dataclass(frozen=True)
class Feature:
    """One input: its name in torch and in Core ML, the dtype that Core ML takes, and how an image becomes a tensor."""

    name: str
    dtype: str
    image: ImageInput | None = None

    def encoded(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return torch's array as Core ML takes it. Raises ExportError when it is no image of this scale and bias."""
        if self.image is not None:
            return as_image(self._pixels(value, self.image), self.image.colour)
        return np.ascontiguousarray(value.astype(self.dtype)).reshape(value.shape)

    def seen(self, value: NDArray[Any]) -> NDArray[Any]:
        """Return what the model sees of torch's array once it was an image; other inputs as they are."""
        if self.image is None:
            return value
        seen = self._pixels(value, self.image).astype(np.float32) * self.image.scale + _bias(self.image)
        made: NDArray[Any] = seen.astype(value.dtype)
        return made

    def _pixels(self, value: NDArray[Any], image: ImageInput) -> NDArray[Any]:
        pixels = np.rint((value - _bias(image)) / image.scale)
        low, high = float(pixels.min(initial=0)), float(pixels.max(initial=0))
        if low < 0 or high > 255:
            raise ExportError(
                f"input {self.name!r} can't come from an image with scale {image.scale:g} and bias "
                f"{list(image.bias)}: its pixels would go from {low:.0f} to {high:.0f}; correct them in the target"
            )
        made: NDArray[Any] = pixels.astype(np.uint8)
        return made


def as_image(planes: NDArray[Any], colour: str) -> NDArray[Any]:
    """Return (1, channels, height, width) in the order of ``colour`` as (height, width, 3) in red, green, blue, or as
    (height, width)."""
    if colour == "GRAYSCALE":
        return np.ascontiguousarray(planes[0, 0])
    ordered = planes[0, ::-1] if colour == "BGR" else planes[0]
    return np.ascontiguousarray(ordered.transpose(1, 2, 0))


def _bias(image: ImageInput) -> NDArray[Any]:
    return np.array(image.bias, np.float32).reshape(1, -1, 1, 1)


def input_features(source: ModelSource, target: TargetProfile) -> tuple[Feature, ...]:
    """Return the inputs in the order of forward's arguments. Raises ExportError for what the target's OS can't take."""
    for name, image in target.coreml.images.items():
        _check_image(name, image, source)
    if target.coreml.io == "float16":
        require(target, 16, "exchanging float16 with the model (coreml.io)")
    return tuple(
        Feature(name, _io_dtype(value.dtype, target), target.coreml.images.get(name))
        if name not in target.coreml.images
        else Feature(name, "uint8", target.coreml.images[name])
        for name, value in source.inputs.items()
    )


def _check_image(name: str, image: ImageInput, source: ModelSource) -> None:
    if name not in source.inputs:
        raise ExportError(
            f"coreml.images names {name!r}, no input of the model{did_you_mean(name, source.inputs)}; "
            f"its inputs: {', '.join(source.inputs)}"
        )
    value, channels = source.inputs[name], 1 if image.colour == "GRAYSCALE" else 3
    if value.dim() != 4 or tuple(value.shape[:2]) != (1, channels) or not value.is_floating_point():
        raise ExportError(
            f"input {name!r} can't be a {image.colour} image: it is {value.dtype} of shape {list(value.shape)}, and"
            f" an image becomes floating point of shape [1, {channels}, height, width]"
        )


def _io_dtype(dtype: torch.dtype, target: TargetProfile) -> str:
    """Return the name of the numpy dtype in which Core ML exchanges a tensor of torch's ``dtype``."""
    name = str(dtype).removeprefix("torch.")
    if name in _WHOLE:
        return "int32"
    if dtype.is_floating_point:
        return target.coreml.io
    return _EXCHANGED.get(name, name)


def input_types(features: tuple[Feature, ...], source: ModelSource, target: TargetProfile, ct: Any) -> list[Any]:
    """Return coremltools' types of the inputs, with the shapes that the target's profile allows."""
    return [_input_type(each, source, target, ct) for each in features]


def _input_type(feature: Feature, source: ModelSource, target: TargetProfile, ct: Any) -> Any:
    value = source.inputs[feature.name]
    shape = shape_of(target.shapes.get(feature.name), tuple(value.shape), ct)
    if feature.image is None:
        # With shapes of the source's own, those of the captured program hold.
        open_shape = source.dynamic_shapes is not None and feature.name not in target.shapes
        return ct.TensorType(name=feature.name, shape=None if open_shape else shape, dtype=_given_dtype(value, feature))
    image = feature.image
    bias = list(image.bias) if len(image.bias) > 1 else [image.bias[0]] * (1 if image.colour == "GRAYSCALE" else 3)
    layout = getattr(ct.colorlayout, image.colour)
    return ct.ImageType(
        name=feature.name, shape=shape, scale=image.scale, color_layout=layout, bias=bias if len(bias) > 1 else bias[0]
    )


def _given_dtype(value: torch.Tensor, feature: Feature) -> Any:
    # A bool must be declared as one, so that coremltools casts the float32 that Core ML exchanges for it.
    from coremltools.converters.mil.mil import types

    return types.bool if str(value.dtype) == "torch.bool" else np.dtype(feature.dtype).type


def shape_of(wanted: Any, example: tuple[int, ...], ct: Any) -> Any:
    """Return a profile's shape of an input in coremltools' words; without one, that of the example."""
    if isinstance(wanted, EnumeratedShapes):
        shapes = [list(each) for each in wanted.enumerated]
        return ct.EnumeratedShapes(shapes=shapes, default=shapes[0])
    if isinstance(wanted, ShapeRange):
        bounds = zip(wanted.min, wanted.opt, wanted.max, strict=True)
        dims = [low if low == high else ct.RangeDim(low, high, default) for low, default, high in bounds]
        return ct.Shape(shape=dims)
    return ct.Shape(shape=list(wanted or example))
