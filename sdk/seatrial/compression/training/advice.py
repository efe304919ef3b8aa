"""Which learning rate to begin with: a range test (Smith, "Cyclical learning rates for training networks", 2017)."""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import nn

from seatrial_targets.errors import ModelError

from .batches import Batch
from .objective import Objective
from .optimizer import make_optimizer
from .settings import Training
from .step import backward, finish_step

LOW, HIGH, STEPS = 1e-6, 1.0, 48
SMOOTHING = 0.8
DIVERGED = 4.0  # times the lowest loss: further up there is nothing to learn


def advise_learning_rate(
    module: nn.Module, batches: Iterable[Batch], objective: Objective, settings: Training, steps: int = STEPS
) -> float:
    """Return the learning rate of the steepest fall of the loss, while it rises from 1e-6 to 1 in ``steps`` steps.

    A copy is trained; ``module`` and ``objective`` are not touched. Half of what the curve says is returned, since the
    rate must hold for the whole run. Raises ModelError when there are no batches, or the loss falls nowhere.
    """
    module, objective = copy.deepcopy(module), copy.deepcopy(objective)
    optimizer = make_optimizer(module, objective, settings)
    rates = [LOW * (HIGH / LOW) ** (i / (steps - 1)) for i in range(steps)]
    losses = list(_losses(module, objective, optimizer, rates, itertools.cycle(_some(batches, steps))))
    if not losses:
        raise ModelError("the training data is empty; give at least one batch")
    return steepest(rates[: len(losses)], losses)


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """Return half of the rate at which the smoothed loss falls fastest per decade.

    >>> steepest([0.1, 1.0, 10.0], [3.0, 2.9, 1.0]) == 5.0
    True
    """
    smooth = _smoothed(losses)
    slopes = [
        (after - before) / (math.log10(high) - math.log10(low))
        for (low, high), (before, after) in zip(itertools.pairwise(rates), itertools.pairwise(smooth), strict=True)
    ]
    if not slopes or min(slopes) >= 0:
        raise ModelError(
            "the loss falls at no learning rate from 1e-6 to 1; give one, or look at the data and the loss"
        )
    return rates[slopes.index(min(slopes)) + 1] / 2.0


def _smoothed(losses: Sequence[float]) -> list[float]:
    """Exponential means, corrected for their start; the curve ends where it has diverged."""
    mean, made = 0.0, []
    for i, loss in enumerate(losses):
        mean = SMOOTHING * mean + (1 - SMOOTHING) * loss
        made.append(mean / (1 - SMOOTHING ** (i + 1)))
    return made


def _losses(
    module: nn.Module,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    rates: Sequence[float],
    batches: Iterator[Batch],
) -> Iterator[float]:
    lowest = math.inf
    for step, (rate, batch) in enumerate(zip(rates, batches, strict=False)):
        try:
            loss, _ = backward(module, objective, batch, 1, step)
        except ModelError:
            if step == 0:
                raise
            return  # it has diverged: all that is wanted is on the curve
        yield loss
        lowest = min(lowest, loss)
        if loss > DIVERGED * lowest and step > 5:
            return
        finish_step(optimizer, rate, None)


def _some(batches: Iterable[Batch], count: int) -> list[Batch]:
    return list(itertools.islice(batches, min(count, 16)))
