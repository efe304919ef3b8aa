"""Settings of weight-only quantization."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from ..settings import Form, StepSettings


class QuantizeWeights(StepSettings):
    """Quantize the weights of linear layers in groups along their inputs; activations stay in floating point.

    ``bits``: 4 or 8. ``group_size``: weights that share a scale; a layer whose inputs it does not divide gets the next
    smaller power of two that does, from 16 on, or stays as it is. ``method``: "gptq" rounds with calibration data so
    that the layer's outputs change least, "rtn" rounds each weight to the nearest, "auto" is gptq where the source has
    calibration data. ``embeddings``: 8 stores tables of embeddings as INT8 with a scale for each row. ``skip`` and
    ``layers``: paths, with `*` within one name and `**` across; without ``layers`` all linear layers are meant.
    ``damping``: part of the mean curvature that GPTQ adds to each input's. ``least_quality``: with 4 bits, an SQNR in
    dB that must be reached: layers get 8 bits, those that lose most first, until it is.
    """

    kind: ClassVar[str] = "quantize_weights"
    gives: ClassVar[Form] = "quantized"
    bits: Literal[4, 8] = 4
    group_size: Literal[16, 32, 64, 128, 256] = 32
    method: Literal["auto", "gptq", "rtn"] = "auto"
    symmetric: bool = False
    embeddings: Literal["float", 8] = 8
    layers: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    damping: float = Field(default=0.01, gt=0.0, le=1.0)
    least_quality: float | None = None

    @model_validator(mode="after")
    def _raisable(self) -> QuantizeWeights:
        if self.least_quality is not None and self.bits != 4:
            raise ValueError("least_quality raises layers from 4 bits to 8; write bits: 4")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """Calibration data, where GPTQ was asked for."""
        return ("calibration",) if self.method == "gptq" else ()
