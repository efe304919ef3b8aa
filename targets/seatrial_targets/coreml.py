"""What a target says about Core ML packages alone: how weights are stored, what goes in and out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .spec import Spec

PALETTE_BITS = (1, 2, 3, 4, 6, 8)


class WeightStorage(Spec):
    """How weights are stored that are computed with in floating point: smaller files, not integer arithmetic.

    ``scheme``: ``linear`` keeps integers and scales, ``palettize`` indices into a table of 2^bits values found by
    k-means, ``sparse`` only what is not zero, for models that were pruned. ``granularity``: what shares a scale or a
    table: the whole tensor, an output channel, or ``group_size`` values along the input channels (linear) or output
    channels (palettize). ``least_values``: smaller weights are left as they are. ``least_sparsity``: the part of zeros
    from which a weight is stored sparse (a float16 weight gains from 1/16 on).
    """

    scheme: Literal["linear", "palettize", "sparse"]
    bits: Literal[1, 2, 3, 4, 6, 8] = 8
    granularity: Literal["per_tensor", "per_channel", "per_group"] = "per_channel"
    group_size: Annotated[int, Field(ge=1, le=4096)] = 32
    least_values: Annotated[int, Field(ge=0)] = 2048
    least_sparsity: Annotated[float, Field(gt=0, lt=1)] = 0.3

    @model_validator(mode="after")
    def _possible(self) -> WeightStorage:
        if self.scheme == "linear" and self.bits not in (4, 8):
            raise ValueError(f"linear weights have 4 or 8 bits, not {self.bits}; palettize has 1, 2, 3, 4, 6 or 8")
        # Not by what was set: a bundle keeps its profile with every field written out, and is read again.
        if self.scheme == "sparse" and self.bits != WeightStorage.model_fields["bits"].default:
            raise ValueError("sparse weights keep their own type; leave bits out")
        return self


class ImageInput(Spec):
    """An input that an app gives as an image: the model receives ``scale * pixel + bias`` with pixels of 0 to 255.

    ``bias`` has one number, or one for each channel in the order of ``colour``.
    """

    colour: Literal["RGB", "BGR", "GRAYSCALE"] = "RGB"
    scale: Annotated[float, Field(gt=0)] = 1.0
    bias: Annotated[tuple[float, ...], Field(min_length=1, max_length=3)] = (0.0,)

    @model_validator(mode="after")
    def _channels(self) -> ImageInput:
        channels = 1 if self.colour == "GRAYSCALE" else 3
        if len(self.bias) not in (1, channels):
            raise ValueError(f"bias has {len(self.bias)} numbers; a {self.colour} image has {channels} channels")
        return self


class CoreMLSettings(Spec):
    """``io``: the type in which inputs and outputs of floating point are exchanged; ``images``: inputs that are images,
    by their name. ``keep_float32``, with fp16: operations (named as `seatrial bundle layers` does) and modules, as
    names or patterns, that stay in float32; or ``auto``: the fewest that keep the outputs within 5e-3 of torch."""

    io: Literal["float32", "float16"] = "float32"
    images: dict[str, ImageInput] = Field(default_factory=dict)
    keep_float32: tuple[Annotated[str, Field(min_length=1)], ...] = ()

    @model_validator(mode="after")
    def _automatic(self) -> CoreMLSettings:
        if "auto" in self.keep_float32 and len(self.keep_float32) > 1:
            raise ValueError("keep_float32 is auto, or names; auto finds all that are needed")
        return self
