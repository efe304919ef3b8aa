"""What a training run is told: a section of a recipe, or Python. No torch here: recipes are read without it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from seatrial_targets.spec import Spec

from ..settings import StepSettings


class EarlyStopping(Spec):
    """Stop when a metric has not improved for ``patience`` evaluations (epochs); ``loss`` is the mean training loss."""

    metric: str = "loss"
    patience: PositiveInt = 3
    min_delta: float = Field(default=0.0, ge=0.0)
    better: Literal["auto", "higher", "lower"] = "auto"

    @property
    def lower_is_better(self) -> bool:
        """True for losses and errors, unless ``better`` says otherwise."""
        if self.better == "auto":
            return any(word in self.metric.lower() for word in ("loss", "error", "perplexity", "mse", "mae"))
        return self.better == "lower"


class Training(Spec):
    """How to train: optimiser, learning rate, its schedule, when to stop, what to save.

    ``learning_rate``: a number, or "advised" for a range test first (`advise_learning_rate`). ``warmup``: part of all
    steps in which the rate rises linearly from 0. ``final_rate``: what cosine and linear schedules end at, as a part of
    the rate. Training ends after ``epochs`` or ``steps``, whichever comes first; with neither after one epoch.
    ``accumulate``: batches for one optimiser step.
    ``checkpoint_every``: steps between checkpoints; one is written after each epoch anyway, and on Ctrl-C.
    ``keep``: the weights of the last step, or those of the epoch with the best early-stopping metric.
    """

    epochs: PositiveInt | None = None
    steps: PositiveInt | None = None
    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    learning_rate: PositiveFloat | Literal["advised"] = 1e-3
    weight_decay: float = Field(default=0.0, ge=0.0)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    schedule: Literal["constant", "linear", "cosine", "step"] = "cosine"
    warmup: float = Field(default=0.0, ge=0.0, lt=1.0)
    final_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    accumulate: PositiveInt = 1
    clip_norm: PositiveFloat | None = None
    freeze_batch_norm: bool = False
    seed: int = Field(default=0, ge=0, lt=2**31)
    device: str = "auto"
    checkpoint_every: PositiveInt | None = None
    early_stopping: EarlyStopping | None = None
    keep: Literal["last", "best"] = "last"

    @property
    def watched(self) -> EarlyStopping:
        """What decides which epoch is the best: the early-stopping metric, or the training loss."""
        return self.early_stopping or EarlyStopping()

    @property
    def most_epochs(self) -> int:
        """How many epochs there are at most; steps alone may take any number."""
        return self.epochs or (2**31 if self.steps else 1)


class Finetune(Training, StepSettings):
    """Train the model as it is now on the source's data, with the source's loss. Without a seed, the recipe's holds."""

    kind: ClassVar[str] = "finetune"

    @property
    def needs(self) -> tuple[str, ...]:
        """Batches to train on."""
        return ("train",)
