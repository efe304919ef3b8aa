"""Training by the user's own loop: we hand over the module, hold what was pruned, and take over again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from seatrial_targets.errors import ModelError, SeatrialError

from ...factory import own_trace
from .loop import TrainingReport

if TYPE_CHECKING:
    from torch import nn

    from ..state import CompressionState


def train_by_hand(state: CompressionState, module: nn.Module, seed: int) -> TrainingReport:
    """Call the source's `fit` with ``module``, in train mode, and return what is known of it.

    Weights that were pruned get no gradient, so that no optimiser moves them. Raises ModelError with the user's line
    when their loop fails, and when it leaves NaN or infinity.
    """
    from ..pruning.masks import Masks
    from ..state import set_training

    fit = state.source.fit
    if fit is None:
        raise ModelError("the model source has no `fit`")
    masks = Masks(state.module, state.sparse)
    hooks = masks.mask_gradients(module)
    set_training(module, True)
    began = time.monotonic()
    try:
        fit(module)
    except SeatrialError:
        raise
    except Exception as error:
        raise ModelError(f"`fit` raised {type(error).__name__}: {error}\n{own_trace(error)}") from error
    finally:
        set_training(module, False)
        for hook in hooks:
            hook.remove()
    masks.hold(module)
    _check(module)
    return TrainingReport(
        epochs=0, steps=0, learning_rate=0.0, history=(), stopped_early=False, kept_epoch=None, resumed_at_step=None,
        seed=seed, device=str(next(module.parameters()).device), seconds=round(time.monotonic() - began, 3),
    )  # fmt: skip


def _check(module: nn.Module) -> None:
    for name, parameter in module.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise ModelError(f"`fit` left NaN or infinity in {name!r}; lower its learning rate")
