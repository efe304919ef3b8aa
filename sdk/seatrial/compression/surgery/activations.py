"""The step `replace_activation`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from seatrial_targets.errors import UserError, did_you_mean

from ...exporters.blame import node_place
from ..capture import capture_for_export
from ..state import CompressionState
from ..step import Outcome, Step
from .places import classes, matching, put
from .settings import ReplaceActivation

# Activation modules and the operators that the same activation is when it is called as a function.
FUNCTIONS = {
    "SiLU": ("aten.silu.default", "aten.silu_.default"),
    "GELU": ("aten.gelu.default",),
    "ReLU": ("aten.relu.default", "aten.relu_.default"),
    "Sigmoid": ("aten.sigmoid.default",),
    "Tanh": ("aten.tanh.default",),
    "Mish": ("aten.mish.default",),
    "ELU": ("aten.elu.default",),
}


class ReplaceActivationStep(Step[ReplaceActivation]):
    """Carries `ReplaceActivation` out."""

    def check(self, state: CompressionState) -> None:
        """Find what is to be replaced."""
        for old in self.settings.replace:
            if not matching(state.module, old, self.settings.layers):
                raise UserError(self._absent(state, old))

    def apply(self, state: CompressionState) -> Outcome:
        """Replace the modules in place."""
        replaced = [
            [path, new]
            for old, new in self.settings.replace.items()
            for path in matching(state.module, old, self.settings.layers)
        ]
        edit = {"edit": "replace_activation", "replaced": replaced}
        state.module = replay(state.module, edit, state.source.inputs)
        state.edits.append(edit)
        told = f"{len(replaced)} activations replaced; the outputs change: train after this step"
        return Outcome((told,), {"replaced": replaced})

    def _absent(self, state: CompressionState, old: str) -> str:
        known = classes(state.module)
        operators = FUNCTIONS.get(old, ())
        nodes: Any = capture_for_export(state.as_source()).graph.nodes if operators else ()
        called = [node_place(node) for node in nodes if str(node.target) in operators]
        if called:
            return (
                f"the model has no module {old}, but calls it as a function, at {called[0]}: make it a module "
                f"(torch.nn.{old}) there, which can be replaced"
            )
        return f"the model has no module {old}{did_you_mean(old, known)}; it has {', '.join(known)}"


def replay(module: torch.nn.Module, edit: Mapping[str, Any], inputs: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Replace the activations that ``edit`` names, in place, and return ``module``."""
    for path, kind in edit["replaced"]:
        put(module, path, getattr(torch.nn, kind)())
    return module
