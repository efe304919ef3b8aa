"""What distillation is told: a section of a recipe, or Python. No torch here: recipes are read without it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, model_validator

from seatrial_targets.spec import Spec

from ..settings import StepSettings
from ..training.settings import Training

Answers = Literal["auto", "classes", "dense", "tokens", "values"]


class FeaturePair(Spec):
    """A module of the student that shall answer like one of the teacher. Without ``teacher`` it has the same name.

    A name is a module's path (`layer3.1`), or, where the module returns several tensors, a path and an index
    (`encoder.layer.0.attention[1]`). ``loss``: squared error of the features (FitNets), 1 - cosine, or attention maps
    (for (N, C, H, W) the normalised energy of each place; for (N, heads, T, T) the probabilities themselves).
    """

    student: str
    teacher: str = ""
    weight: PositiveFloat = 1.0
    loss: Literal["mse", "cosine", "attention"] = "mse"

    @property
    def teacher_name(self) -> str:
        """The module of the teacher."""
        return self.teacher or self.student


class Distillation(Spec):
    """loss = hard_weight * task + (1 - hard_weight) * T^2 * KL(teacher || student) + weighted features.

    Hinton et al., "Distilling the knowledge in a neural network", 2015; T^2 keeps the gradients' size when the
    temperature changes. ``answers`` says what the outputs are: classes (N, C), dense (N, C, H, W), tokens (N, T, V), or
    values, which are compared by their squared error and not as probabilities; "auto" goes by the number of axes.
    ``response: false`` leaves the outputs out, for features alone.
    """

    temperature: PositiveFloat = 4.0
    hard_weight: float = Field(default=0.5, ge=0.0, le=1.0)
    response: bool = True
    answers: Answers = "auto"
    features: tuple[FeaturePair, ...] = ()

    @model_validator(mode="after")
    def _something(self) -> Distillation:
        if not self.response and not self.features:
            raise ValueError("nothing is distilled: response is false, and there are no features")
        return self


class Distil(Distillation, Training, StepSettings):
    """Train the model as it is now to answer like a teacher.

    ``teacher``: "original", the model before the recipe; "self", the model as it is when the step begins (a born-again
    network, Furlanello et al., 2018); or another model source, as in `seatrial export`. It takes the same inputs.
    """

    kind: ClassVar[str] = "distil"
    teacher: str = "original"

    @property
    def needs(self) -> tuple[str, ...]:
        """Batches to train on."""
        return ("train",)
