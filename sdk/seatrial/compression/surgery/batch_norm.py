"""Fold batch norms into the convolutions and linear layers before them; outputs stay the same but for rounding."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...exporters.blame import node_module
from ..capture import capture_for_export
from ..step import Outcome, Step
from .settings import FoldBatchNorm

if TYPE_CHECKING:
    import torch

    from ...source import ModelSource
    from ..state import CompressionState

Pair = tuple[str, str]
LAYERS = ("aten.conv1d.default", "aten.conv2d.default", "aten.conv3d.default", "aten.linear.default")


class FoldBatchNormStep(Step[FoldBatchNorm]):
    """Finds pairs (layer, batch norm) in the captured graph and folds those where nothing else reads between."""

    def apply(self, state: CompressionState) -> Outcome:
        """Fold all that can be folded; each folded batch norm becomes an identity."""
        pairs = foldable(state.as_source())
        edit = {"edit": "fold_batch_norm", "pairs": [list(pair) for pair in pairs]}
        state.module = replay(state.module, edit, state.source.inputs)
        state.edits += [edit] if pairs else []
        return Outcome((f"{len(pairs)} batch norms folded" if pairs else "there was no batch norm to fold",))


def foldable(source: ModelSource) -> list[Pair]:
    """Return (path of a layer, path of a batch norm) where the norm alone reads the layer's output, each called once.

    Raises ExportError, with the user's line, when the model can't be captured.
    """
    nodes = capture_for_export(source).graph.nodes
    calls = Counter(node_module(node) for node in nodes if str(node.target) in (*LAYERS, "aten.batch_norm.default"))
    norms = [node for node in nodes if str(node.target) == "aten.batch_norm.default"]
    pairs = [(node_module(norm.args[0]), node_module(norm)) for norm in norms if _is_pair(norm.args[0])]
    return [pair for pair in pairs if all(calls[path] == 1 for path in pair) and _are_layers(source.module, pair)]


def replay(module: torch.nn.Module, edit: Mapping[str, Any], inputs: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Fold the pairs of paths in ``edit``, in place, and return ``module``."""
    import torch

    for layer, norm in edit["pairs"]:
        _replace(module, layer, _fused(module.get_submodule(layer), module.get_submodule(norm)))
        _replace(module, norm, torch.nn.Identity())
    return module


def _is_pair(before: Any) -> bool:
    return str(before.target) in LAYERS and len(before.users) == 1


def _are_layers(module: torch.nn.Module, pair: Pair) -> bool:
    import torch

    layer, norm = (_found(module, path) for path in pair)
    kinds = (torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d, torch.nn.Linear)
    return isinstance(layer, kinds) and getattr(norm, "running_mean", None) is not None


def _found(module: torch.nn.Module, path: str) -> torch.nn.Module | None:
    try:
        return module.get_submodule(path)
    except AttributeError:
        return None


def _fused(layer: Any, norm: Any) -> torch.nn.Module:
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

    fuse = fuse_linear_bn_weights if isinstance(layer, torch.nn.Linear) else fuse_conv_bn_weights
    made: torch.nn.Module = copy.deepcopy(layer)
    made.weight, made.bias = fuse(
        layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return made


def _replace(module: torch.nn.Module, path: str, new: torch.nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, new)
