"""Optimisers, devices and modes: the small decisions before the first step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from seatrial_targets.errors import UserError

from .objective import Objective
from .settings import Training


def make_optimizer(module: nn.Module, objective: Objective, settings: Training) -> torch.optim.Optimizer:
    """Return the optimiser over all parameters that require a gradient, the objective's own included.

    Weights of one dimension (biases, norms) do not decay, as is usual (He et al., "Bag of tricks", 2019). The learning
    rate is set before each step.
    """
    every = [each for each in (*module.parameters(), *objective.parameters()) if each.requires_grad]
    groups = [
        {"params": [each for each in every if each.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [each for each in every if each.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=1.0, momentum=settings.momentum, nesterov=settings.momentum > 0)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(groups, lr=1.0)


def device_of(name: str) -> torch.device:
    """Return the device of that name; "auto" is a GPU where there is one. Raises UserError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(f"device {name!r} can't be used here: {first}; write auto, cpu or cuda:0") from error
    return device


@contextmanager
def training_mode(module: nn.Module, freeze_batch_norm: bool) -> Iterator[None]:
    """Context: the module in train mode (batch norms in eval mode if frozen), each part put back afterwards."""
    modes = [(child, child.training) for child in module.modules()]
    for child, _ in modes:  # not by train(), which captured graphs refuse
        child.training = not (freeze_batch_norm and isinstance(child, nn.modules.batchnorm._BatchNorm))
    try:
        yield
    finally:
        for child, training in modes:
            child.training = training
