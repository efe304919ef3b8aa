"""One step: loss, gradients, update. What goes wrong in it is said with the user's own line."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from seatrial_targets.errors import ModelError, SeatrialError

from ...exporters.blame import user_frame
from .batches import Batch
from .objective import Objective


def backward(
    module: nn.Module, objective: Objective, batch: Batch, share: int, step: int
) -> tuple[float, dict[str, float]]:
    """Add the gradients of ``batch``, divided by ``share``; return its loss and the loss's parts.

    Raises ModelError for a loss that is no scalar, not finite or without a gradient, for a model that fails, and when
    the memory does not suffice.
    """
    try:
        loss, parts = objective(module, batch)
        value = _value(loss, step)
        (loss / share).backward()
    except SeatrialError:
        raise
    except Exception as error:
        raise _failed(error, module, batch, step) from error
    return value, {name: float(each) for name, each in parts.items()}


def finish_step(optimizer: torch.optim.Optimizer, rate: float, clip_norm: float | None) -> None:
    """Update the weights at a learning rate and drop the gradients."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    if clip_norm is not None:
        nn.utils.clip_grad_norm_(_parameters(optimizer), clip_norm)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def _parameters(optimizer: torch.optim.Optimizer) -> Iterable[nn.Parameter]:
    return [each for group in optimizer.param_groups for each in group["params"]]


def _value(loss: torch.Tensor, step: int) -> float:
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        shape = list(loss.shape) if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise ModelError(f"step {step}: the loss is {shape}, not one number; return a scalar tensor")
    value = float(loss.detach())
    if value != value or value in (float("inf"), float("-inf")):
        raise ModelError(
            f"step {step}: the loss is {value}; lower the learning rate, set clip_norm, or look for NaN in the data. "
            "The last checkpoint stands"
        )
    if not loss.requires_grad:
        raise ModelError(f"step {step}: the loss has no gradient; compute it from the model's outputs, without no_grad")
    return value


def _failed(error: Exception, module: nn.Module, batch: Batch, step: int) -> ModelError:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return ModelError(
            f"step {step}: out of memory with {batch.size} examples in a batch; make batches smaller and set "
            f"`accumulate`, or train on another device ({text})"
        )
    return ModelError(f"{user_frame(error, module)}: training step {step} fails: {type(error).__name__}: {text}")
