"""Zeros that stay zeros: which weights were pruned, held through whatever training comes after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class Masks:
    """Which weights are left, by the path of their parameter: those that are not 0 now."""

    def __init__(self, module: torch.nn.Module, paths: Sequence[str]) -> None:
        named = dict(module.named_parameters())
        self._left = {path: named[path].detach() != 0 for path in paths if path in named}

    def mask_gradients(self, module: torch.nn.Module) -> list[Any]:
        """Let no gradient reach the pruned weights of ``module``; return the hooks, to be removed afterwards."""
        hooks = []
        for path, parameter in module.named_parameters():
            left = self._left.get(path)
            if left is not None and left.shape == parameter.shape:
                hooks.append(parameter.register_hook(lambda gradient, left=left: gradient * left))
        return hooks

    def hold(self, module: torch.nn.Module, position: Any = None) -> None:
        """Set the pruned weights of ``module`` to 0 again; called after each step of training."""
        with torch.no_grad():
            for path, parameter in module.named_parameters():
                left = self._left.get(path)
                if left is not None and left.shape == parameter.shape:
                    parameter.mul_(left.to(parameter.device))
