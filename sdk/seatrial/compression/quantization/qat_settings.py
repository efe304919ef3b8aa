"""Settings of quantization-aware training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveFloat

from ..distillation.settings import Distillation
from ..settings import Form
from ..training.settings import Training
from .settings import QuantizerSettings


class Qat(QuantizerSettings, Training):
    """Quantization-aware training: train on with INT8 rounding in the model, so that the weights make up for it.

    Batch norms are folded first, since that is what runs on the device. Ranges of activations follow the data until
    ``freeze_ranges``, a part of the training, is over, and then stay; those of weights follow the weights. ``distil``:
    beside (or instead of) the labels, the answers of a teacher without quantizers; ``teacher`` as in `distil`.
    ``learning_rate`` is low by default: a tenth to a hundredth of what the model was trained with.
    """

    kind: ClassVar[str] = "qat"
    gives: ClassVar[Form] = "quantized"
    learning_rate: PositiveFloat | Literal["advised"] = 1e-4
    freeze_ranges: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    distil: Distillation | None = None
    teacher: str = "original"

    @property
    def needs(self) -> tuple[str, ...]:
        """Batches to train on."""
        return ("train",)
