"""Learning-rate schedules, as functions of how much of the training is done. Pure arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from .settings import Training


def factor(settings: Training, progress: float) -> float:
    """Return what the learning rate is multiplied with at ``progress`` (0 at the start, 1 at the end).

    >>> factor(Training(schedule="cosine", warmup=0.1), 0.05), round(factor(Training(schedule="cosine"), 0.5), 6)
    (0.5, 0.5)
    """
    progress = min(max(progress, 0.0), 1.0)
    if progress < settings.warmup:
        return progress / settings.warmup
    rest = (progress - settings.warmup) / (1.0 - settings.warmup)
    return settings.final_rate + (1.0 - settings.final_rate) * _SHAPES[settings.schedule](rest)


def _step(rest: float) -> float:
    """A tenth after half of the steps, a hundredth after three quarters (He et al., "Deep residual learning", 2015)."""
    return 1.0 if rest < 0.5 else 0.1 if rest < 0.75 else 0.01


_SHAPES: Mapping[str, Callable[[float], float]] = {
    "constant": lambda rest: 1.0,
    "linear": lambda rest: 1.0 - rest,
    "cosine": lambda rest: (1.0 + math.cos(math.pi * rest)) / 2.0,  # Loshchilov and Hutter, "SGDR", 2017
    "step": _step,
}
