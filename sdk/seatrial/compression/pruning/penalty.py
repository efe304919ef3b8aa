"""Training that pulls what is to be pruned towards 0, so that less is lost when it goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..training.objective import Objective
from .settings import Penalty


class PenalizedObjective(Objective):
    """Another objective plus weight x sum |w| (L1), or weight / 2 x sum w^2 (L2), over parameters by their paths."""

    def __init__(self, base: Objective, penalty: Penalty, paths: tuple[str, ...]) -> None:
        super().__init__()
        self.base, self._penalty, self._paths = base, penalty, frozenset(paths)
        self.identity = f"{base.identity} {penalty.norm} {penalty.weight}"

    def forward(self, module: torch.nn.Module, batch: Any) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the loss with the penalty, which is also one of its parts."""
        loss, parts = self.base(module, batch)
        chosen = [each for path, each in module.named_parameters() if path in self._paths]
        if self._penalty.norm == "l1":
            total = sum((each.abs().sum() for each in chosen), torch.zeros(()))
        else:
            total = sum((each.square().sum() / 2 for each in chosen), torch.zeros(()))
        cost = self._penalty.weight * total
        return loss + cost, {**parts, "penalty": cost.detach()}
