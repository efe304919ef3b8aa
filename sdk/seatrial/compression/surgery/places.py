"""Modules by class or path, put in the place of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..state import select

if TYPE_CHECKING:
    import torch


def matching(module: torch.nn.Module, kind: str | None, patterns: Sequence[str]) -> list[str]:
    """Return the paths of modules of a class of that name (None: any), among those that ``patterns`` name (none: all).

    Raises UnknownNameError for a path that is not there.
    """
    named = {name: each for name, each in module.named_modules() if name}
    chosen = select(tuple(patterns), list(named), "layer") if patterns else list(named)
    return [path for path in chosen if kind is None or type(named[path]).__name__ == kind]


def put(module: torch.nn.Module, path: str, new: torch.nn.Module) -> None:
    """Put ``new`` in the place of the module at ``path``."""
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, new)


def classes(module: torch.nn.Module) -> list[str]:
    """Return the names of the classes of all modules inside ``module``, each once."""
    return sorted({type(each).__name__ for name, each in module.named_modules() if name})
