"""How much a channel matters: torch-pruning's estimators, fed with the model's own gradients where they need them."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import torch

from ...source import forward_names
from ..training.batches import Batches
from ..training.objective import SupervisedObjective
from ..training.step import backward
from .settings import Prune

if TYPE_CHECKING:
    from ..state import CompressionState


def estimator(settings: Prune) -> Any:
    """Return torch-pruning's importance of that name: from a group of coupled channels to a score for each."""
    import torch_pruning

    made = {
        "l1": lambda: torch_pruning.importance.MagnitudeImportance(p=1),
        "l2": lambda: torch_pruning.importance.MagnitudeImportance(p=2),
        "batch_norm": torch_pruning.importance.BNScaleImportance,
        "taylor": torch_pruning.importance.TaylorImportance,
        "random": torch_pruning.importance.RandomImportance,
    }
    return made[settings.importance]()


class Gradients:
    """Gradients of the source's loss, summed over some batches, by parameter; empty where no estimator needs them.

    They are found once and hold until the model is trained: a search for the amount tries many with the same ones.
    """

    def __init__(self, settings: Prune) -> None:
        self.settings = settings
        self._found: dict[str, torch.Tensor] | None = None

    def put(self, module: torch.nn.Module, state: CompressionState) -> None:
        """Give the parameters of ``module``, which is the state's or a copy of it, those gradients."""
        if self._found is None:
            self._found = self._collect(state, self.settings.batches) if self.settings.importance == "taylor" else {}
        for name, parameter in module.named_parameters():
            parameter.grad = self._found[name].clone() if name in self._found else None

    def forget(self) -> None:
        """Find them anew at the next time: the weights have changed."""
        self._found = None

    def _collect(self, state: CompressionState, most: int) -> dict[str, torch.Tensor]:
        objective = SupervisedObjective(state.source.loss)
        batches = Batches(state.source.train or (), forward_names(state.source.module))
        state.module.zero_grad(set_to_none=True)
        for index, batch in enumerate(itertools.islice(batches.epoch(0, state.seed), most)):
            state.tell("gradients", index, most)
            backward(state.module, objective, batch, 1, index)
        named = state.module.named_parameters()
        found = {name: each.grad.clone() for name, each in named if each.grad is not None}
        state.module.zero_grad(set_to_none=True)
        return found
