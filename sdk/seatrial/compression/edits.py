"""Changes of a module's structure as plain data, so that they can be made again: for resuming, and for undoing.

A pickle of the module would carry structure, too, but runs code when it is loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import UnknownNameError

if TYPE_CHECKING:
    import torch

Replay = Callable[["torch.nn.Module", Mapping[str, Any], Mapping[str, "torch.Tensor"]], "torch.nn.Module"]
"""Called with the module, the edit, and example inputs; returns the changed module, which may be the same object."""

# kind -> "module:function". The kind stands in each edit under the key "edit".
TABLE: dict[str, str] = {
    "prune_channels": "seatrial.compression.pruning.channels:replay",
    "replace_activation": "seatrial.compression.surgery.activations:replay",
    "replace_modules": "seatrial.compression.surgery.modules:replay",
    "fold_batch_norm": "seatrial.compression.surgery.batch_norm:replay",
}


def replay(
    module: torch.nn.Module, edits: Sequence[Mapping[str, Any]], inputs: Mapping[str, torch.Tensor]
) -> torch.nn.Module:
    """Make all ``edits`` on ``module``, in order, and return it; its weights are to be loaded afterwards.

    Raises UnknownNameError for a kind of edit that this version does not know.
    """
    for edit in edits:
        module = _function(str(edit.get("edit")))(module, edit, inputs)
    return module


def _function(kind: str) -> Replay:
    if kind not in TABLE:
        raise UnknownNameError("edit", kind, TABLE, "the record was written by another version")
    module, _, name = TABLE[kind].partition(":")
    found: Replay = getattr(import_module(module), name)
    return found
