"""Settings of mixed precision."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ..quantization.settings import Quantize
from ..settings import Form


class MixedPrecision(Quantize):
    """INT8, but for the layers whose floating point pays: the most quality for the least time.

    All settings of `quantize` hold for the layers that become INT8; ``keep_float`` stays float in any case. ``metric``:
    how quality is measured: "sqnr" (dB against the original), "divergence" (mean KL of the class probabilities, nats),
    or the name of a metric that the source's `evaluate` returns. Exactly one target is given: ``least_quality`` (least
    SQNR or metric, most divergence), which the fastest assignment must meet, or ``most_latency``, as a part of the
    all-INT8 model's more (0.1: ten per cent slower), within which the best quality is taken; without either, layers
    are added as long as each pays for itself. ``cost``: "measured" on the device (needs --device), "estimated" from
    multiply-accumulates, "auto" measures where there is a device. ``candidates``: the most layers that are tried.
    ``runs``: duet runs for each comparison on the device. ``half``: whether a layer may also be computed in float16,
    between INT8 and float32; "auto": when all targets are for ONNX Runtime on Arm CPUs that have a target for FP16.
    TensorRT and Core ML compute all that is not quantized in float16 anyway.
    """

    kind: ClassVar[str] = "mixed_precision"
    takes: ClassVar[tuple[Form, ...]] = ("float",)
    metric: Annotated[str, Field(min_length=1, max_length=100)] = "sqnr"
    least_quality: float | None = None
    most_latency: Annotated[float, Field(ge=0.0, le=100.0)] | None = None
    cost: Literal["auto", "measured", "estimated"] = "auto"
    candidates: Annotated[int, Field(ge=1, le=64)] = 6
    half: bool | Literal["auto"] = "auto"
    runs: Annotated[int, Field(ge=2, le=64)] = 5

    @model_validator(mode="after")
    def _one_target(self) -> MixedPrecision:
        if self.scheme != "static":
            raise ValueError("mixed precision is of static INT8: leave scheme out")
        if self.least_quality is not None and self.most_latency is not None:
            raise ValueError("give least_quality or most_latency, not both: the other one is what is optimised")
        return self
