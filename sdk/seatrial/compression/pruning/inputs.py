"""What a layer of a module is fed with, on the calibration data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from ...source import evaluating


class _ReachedError(Exception):
    """The layer was reached; nothing behind it need be computed."""


def layer_inputs(
    module: torch.nn.Module, layer: torch.nn.Module, samples: Sequence[dict[str, torch.Tensor]], positional: bool
) -> list[torch.Tensor]:
    """Return the first input of ``layer`` for each sample; nothing when the model does not call it."""
    found: list[torch.Tensor] = []

    def take(_: Any, inputs: tuple[Any, ...]) -> None:
        found.append(inputs[0].detach())
        raise _ReachedError

    hook = layer.register_forward_pre_hook(take)
    try:
        with torch.no_grad(), evaluating(module):
            for sample in samples:
                try:
                    module(*sample.values()) if positional else module(**sample)
                except _ReachedError:
                    continue
    finally:
        hook.remove()
    return found
