"""What training minimises: a module that maps a model and a batch to a loss and its parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from seatrial_targets.errors import ModelError

from ...source import Loss
from .batches import Batch


class Objective(nn.Module):
    """Base of what can be minimised. Parameters that it registers are trained and saved beside the model's.

    ``identity``: what a checkpoint must agree with, beside those parameters' shapes.
    """

    identity = ""

    def forward(self, module: nn.Module, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the loss (a scalar with a gradient) and its parts by name, for the report."""
        raise NotImplementedError


class SupervisedObjective(Objective):
    """The user's loss on the model's outputs and the batch's target; cross-entropy where they gave none."""

    def __init__(self, loss: Loss | None = None) -> None:
        super().__init__()
        self._loss = loss or cross_entropy

    def forward(self, module: nn.Module, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the loss. Raises ModelError for a batch without a target."""
        if batch.target is None:
            raise ModelError(
                "the training data has no targets, and the loss needs them: give pairs (inputs, target), or distil"
            )
        loss = self._loss(batch.call(module), batch.target)
        return loss, {"task": loss.detach()}


def cross_entropy(outputs: Any, target: Any) -> torch.Tensor:
    """Return the mean cross-entropy of logits (N, C, ...) and class indices (N, ...). Raises ModelError otherwise."""
    logits = first_tensor(outputs)
    if not isinstance(target, torch.Tensor) or target.is_floating_point():
        raise ModelError(
            "without a loss of yours the target must be class indices (integers); give ModelSource(..., loss=function)"
        )
    if logits.shape[:1] + logits.shape[2:] != target.shape:
        shapes = f"outputs of shape {list(logits.shape)} and targets of shape {list(target.shape)}"
        raise ModelError(f"cross-entropy can't take {shapes}; give ModelSource(..., loss=function)")
    return functional.cross_entropy(logits, target)


def first_tensor(outputs: Any) -> torch.Tensor:
    """Return the first tensor of what a module returned: logits, by convention. Raises ModelError if there is none."""
    leaves = torch.utils._pytree.tree_leaves(dict(outputs) if isinstance(outputs, Mapping) else outputs)
    found = next((each for each in leaves if isinstance(each, torch.Tensor)), None)
    if found is None:
        raise ModelError(f"the model returned {type(outputs).__name__}, which holds no tensor")
    return found
