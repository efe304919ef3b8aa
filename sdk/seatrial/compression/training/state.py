"""Where a training run is: what a checkpoint holds beside the tensors, and what the report is made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .schedule import factor
from .settings import Training


@dataclass(frozen=True)
class Epoch:
    """One finished epoch: mean loss and its parts, the user's metrics when they were measured, the rate it ended at."""

    number: int
    loss: float
    parts: Mapping[str, float]
    metrics: Mapping[str, float]
    learning_rate: float


@dataclass(frozen=True)
class Position:
    """How far training is, for those who act along the way (masks, progressive pruning, frozen observers)."""

    step: int
    epoch: int
    fraction: float


@dataclass
class State:
    """Everything about the run that is no tensor. ``batches`` are those consumed in the epoch that runs."""

    learning_rate: float
    step: int = 0
    epoch: int = 0
    batches: int = 0
    epoch_batches: int = 0
    loss_sum: float = 0.0
    part_sums: dict[str, float] = field(default_factory=dict)
    best: float | None = None
    best_epoch: int | None = None
    worse: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def fraction(self, settings: Training) -> float:
        """Return how much of the training is done, in the middle of the step that comes next: 0 to 1.

        With data that does not say its length, the first epoch counts as a whole only when it is over.
        """
        per_epoch = math.ceil(self.epoch_batches / settings.accumulate)
        total = settings.most_epochs * per_epoch if settings.epochs or not settings.steps else settings.steps
        if total:
            total = min(total, settings.steps or total)
            return min(1.0, (self.step + 0.5) / total)
        by_epoch = self.epoch / settings.most_epochs
        return max(by_epoch, (self.step + 0.5) / settings.steps) if settings.steps else by_epoch

    def rate(self, settings: Training) -> float:
        """Return the learning rate of the next step."""
        return self.learning_rate * factor(settings, self.fraction(settings))

    def add(self, loss: float, parts: Mapping[str, float]) -> None:
        """Count a batch's loss."""
        self.batches += 1
        self.loss_sum += loss
        for name, value in parts.items():
            self.part_sums[name] = self.part_sums.get(name, 0.0) + value

    def close_epoch(self, metrics: Mapping[str, float], settings: Training) -> Epoch:
        """End the epoch: keep its means, count it for early stopping, and begin the next."""
        count = max(self.batches, 1)
        parts = {name: value / count for name, value in self.part_sums.items()}
        made = Epoch(self.epoch, self.loss_sum / count, parts, dict(metrics), self.rate(settings))
        self.history.append(asdict(made))
        self.epoch_batches = self.batches
        self.epoch, self.batches, self.loss_sum, self.part_sums = self.epoch + 1, 0, 0.0, {}
        return made

    def improves(self, value: float, settings: Training) -> bool:
        """Count ``value`` of the watched metric; return True when it is the best so far."""
        watched = settings.watched
        sign = -1.0 if watched.lower_is_better else 1.0
        if self.best is None or sign * (value - self.best) > watched.min_delta:
            self.best, self.best_epoch, self.worse = value, self.epoch - 1, 0
            return True
        self.worse += 1
        return False
