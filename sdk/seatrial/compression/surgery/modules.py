"""The step `replace_modules`: the user's own functions make new modules of old ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from seatrial_targets.errors import ModelError, SeatrialError, UserError

from ...factory import find_factory, own_trace
from ..state import CompressionState
from ..step import Outcome, Step
from .places import classes, matching, put
from .settings import ReplaceModules, Rule

Replace = Callable[[torch.nn.Module], Any]


class ReplaceModulesStep(Step[ReplaceModules]):
    """Carries `ReplaceModules` out."""

    def check(self, state: CompressionState) -> None:
        """Find the functions and what they are for."""
        for rule in self.settings.rules:
            _function(rule.using)
            if not matching(state.module, rule.type, rule.layers):
                raise UserError(
                    f"no module matches {_told(rule)}; the model has the classes {', '.join(classes(state.module))}"
                )

    def apply(self, state: CompressionState) -> Outcome:
        """Replace the modules in place, rule by rule; what a rule has put in is not asked about again."""
        replaced: list[list[str]] = []
        for rule in self.settings.rules:
            paths = [path for path in matching(state.module, rule.type, rule.layers) if not _inside(path, replaced)]
            outer = [path for path in paths if not any(path.startswith(f"{other}.") for other in paths)]
            for path in outer:
                put(state.module, path, _made(rule.using, state.module.get_submodule(path)))
                replaced.append([path, rule.using])
        state.edits.append({"edit": "replace_modules", "replaced": replaced})
        return Outcome((f"{len(replaced)} modules replaced",), {"replaced": replaced})


def replay(module: torch.nn.Module, edit: Mapping[str, Any], inputs: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Replace the modules that ``edit`` names, by the same functions, in place, and return ``module``."""
    for path, using in edit["replaced"]:
        put(module, path, _made(using, module.get_submodule(path)))
    return module


def _function(spec: str) -> Replace:
    try:
        found: Any = find_factory(spec)[0]
    except SeatrialError as error:
        raise UserError(f"using {spec}: {error}") from error
    made: Replace = found
    return made


def _made(spec: str, old: torch.nn.Module) -> torch.nn.Module:
    try:
        new = _function(spec)(old)
    except SeatrialError:
        raise
    except Exception as error:
        raise ModelError(f"{spec} raised {type(error).__name__}: {error}\n{own_trace(error)}") from error
    if not isinstance(new, torch.nn.Module):
        raise ModelError(f"{spec} returned {type(new).__name__}, not a torch.nn.Module")
    new.train(old.training)
    return new


def _inside(path: str, replaced: list[list[str]]) -> bool:
    return any(path == done or path.startswith(f"{done}.") for done, _ in replaced)


def _told(rule: Rule) -> str:
    return " and ".join(filter(None, [rule.type, *rule.layers]))
