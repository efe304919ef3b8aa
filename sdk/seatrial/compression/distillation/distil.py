"""The step `distil`: train the model as it is now beside a frozen teacher."""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING

from seatrial_targets.errors import ModelError

from ...source import forward_names, load_source
from ..step import Outcome, Step
from ..training.finetune import described, train
from .settings import Distil, Distillation

if TYPE_CHECKING:
    import torch

    from ..state import CompressionState
    from ..training.batches import Batch
    from .objective import DistillationObjective


class DistilStep(Step[Distil]):
    """Minimises the distance to a teacher, beside the source's own loss."""

    def apply(self, state: CompressionState) -> Outcome:
        """Train ``state.module`` in place. Raises ModelError; on Ctrl-C a checkpoint is left in ``state.folder``."""
        objective = make_objective(state, state.module, self.settings, self.settings.teacher)
        report = train(state, self.settings, objective)
        return described(report, f"teacher: {self.settings.teacher}; outputs are taken as {objective.answers}")


def make_objective(
    state: CompressionState, student: torch.nn.Module, settings: Distillation, teacher: str = "original"
) -> DistillationObjective:
    """Return what ``student`` minimises to become like a teacher: also for a student with quantizers in it."""
    from .objective import DistillationObjective

    return DistillationObjective(
        student,
        teacher_of(state, teacher),
        settings,
        first_batch(state),
        task=state.source.loss,
        input_names=forward_names(state.source.module),
    )


def teacher_of(state: CompressionState, name: str) -> torch.nn.Module:
    """Return a copy of the teacher that nothing else holds, since it is frozen. Raises ModelError."""
    if name == "self":
        return copy.deepcopy(state.module)
    if name == "original":
        return copy.deepcopy(state.source.reference or state.source.module)
    return load_source(name).module


def first_batch(state: CompressionState) -> Batch:
    """Return the first batch of the source's training data. Raises ModelError when there is none."""
    from ..training.batches import Batches
    from ..training.randomness import kept_random_state

    if state.source.train is None:
        raise ModelError("distillation needs `train` of the model source, which has none; add it to the factory")
    with kept_random_state():
        batches = Batches(state.source.train, forward_names(state.source.module)).epoch(0, seed=0)
        return next(itertools.islice(batches, 1))
