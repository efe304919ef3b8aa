"""Settings of the steps that quantize."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ..settings import Form, StepSettings

Observer = Literal["minmax", "percentile", "entropy", "mse"]
Layers = tuple[Annotated[str, Field(min_length=1, max_length=300)], ...]


class QuantizerSettings(StepSettings):
    """What post-training quantization and quantization-aware training have in common.

    ``activations``: "symmetric" is int8 with zero point 0, which every runtime takes; "asymmetric" is uint8 with a zero
    point, and also quantizes what convolutions give to activation functions that can't be fused: for ONNX Runtime
    alone, where it is more exact and faster. "auto": asymmetric when all targets of the recipe are for ONNX Runtime.
    ``weights``: one scale per output channel, or one per tensor. ``keep_float``: layers that are left as they are, by
    their path in the module, exactly or with `*` (within one name) and `**`. ``keep_half``: layers that are computed
    in float16 instead: faster than float32 on Arm CPUs that compute in it. Where a target's exporter has all floating
    point in float16 (TensorRT, Core ML), it makes no difference.
    """

    activations: Literal["auto", "symmetric", "asymmetric"] = "auto"
    weights: Literal["per_channel", "per_tensor"] = "per_channel"
    keep_float: Layers = ()
    keep_half: Layers = ()


class Quantize(QuantizerSettings):
    """Post-training INT8, without training: "static" ranges of activations, from the calibration data, or "dynamic"
    ones, found while the model runs, of linear layers alone (for ONNX Runtime; it does not make convolutions faster),
    with tables of ``embeddings`` as INT8 by row (8) or left in "float".

    For "static":
    ``observer``: how the range of an activation is chosen: "minmax" (all values), "percentile" (leaves out
    (100 - percentile) %), "entropy" (least Kullback-Leibler divergence), "mse" (least squared error).
    ``weight_observer`` likewise for weights. ``rounding``: "nearest", or "adaptive": weights are rounded one after the
    other, each making up for the error of those before it on the calibration data. ``bias_correction`` takes the mean
    error out of each layer, where that brings the outputs nearer. ``samples``: calibration samples that are used.
    """

    kind: ClassVar[str] = "quantize"
    takes: ClassVar[tuple[Form, ...]] = ("float", "captured")
    gives: ClassVar[Form] = "quantized"
    scheme: Literal["static", "dynamic"] = "static"
    observer: Observer = "minmax"
    percentile: Annotated[float, Field(gt=50, le=100)] = 99.99
    weight_observer: Literal["minmax", "mse"] = "minmax"
    rounding: Literal["nearest", "adaptive"] = "nearest"
    bias_correction: bool = True
    samples: Annotated[int, Field(ge=1, le=100_000)] = 128
    embeddings: Literal["float", 8] = 8

    @model_validator(mode="after")
    def _percentile(self) -> Quantize:
        if "percentile" in self.model_fields_set and self.observer != "percentile":
            raise ValueError(f"percentile is for the observer of that name; the observer is {self.observer}")
        return self

    @model_validator(mode="after")
    def _dynamic(self) -> Quantize:
        static_only = {"observer", "percentile", "rounding", "bias_correction", "samples", "activations", "keep_half"}
        if self.scheme == "dynamic" and (named := sorted(static_only & self.model_fields_set)):
            raise ValueError(f"scheme dynamic looks at no data before: leave {', '.join(named)} out")
        if self.scheme == "static" and "embeddings" in self.model_fields_set:
            raise ValueError("embeddings is for scheme dynamic; static INT8 leaves tables of embeddings in float")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """Calibration data, for static ranges."""
        return ("calibration",) if self.scheme == "static" else ()
