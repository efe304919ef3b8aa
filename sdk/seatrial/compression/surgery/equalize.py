"""The step `equalize`: channels of neighbouring layers get ranges alike, so that one scale for all loses less.

Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, section 4.1: where
f(s x) = s f(x) for s > 0 stands between two layers, dividing an output channel of the first by s and multiplying the
matching input channel of the second by s changes nothing. With s = sqrt(r1 / r2) both channels reach equally far.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from seatrial_targets.errors import UserError

from ...exporters.blame import node_module
from ..capture import capture_for_export
from ..step import Outcome, Step
from .batch_norm import LAYERS, FoldBatchNormStep
from .settings import Equalize, FoldBatchNorm

if TYPE_CHECKING:
    from ...source import ModelSource
    from ..state import CompressionState

# What stands between without harm: f(s x) = s f(x) for s > 0, channel by channel.
_HOMOGENEOUS = (
    "aten.relu.default", "aten.relu_.default", "aten.leaky_relu.default", "aten.leaky_relu_.default",
    "aten.dropout.default", "aten.dropout_.default", "aten.max_pool2d.default", "aten.avg_pool2d.default",
    "aten.adaptive_avg_pool2d.default",
)  # fmt: skip
CONVERGED = 1.01  # no channel is scaled by more than this


class Pair(NamedTuple):
    """The paths of a layer and of the one that alone reads it."""

    first: str
    second: str


class EqualizeStep(Step[Equalize]):
    """Carries `Equalize` out."""

    def apply(self, state: CompressionState) -> Outcome:
        """Fold batch norms, then scale the channels of all pairs until they are even. Raises UserError for no pair."""
        folded = FoldBatchNormStep(FoldBatchNorm()).apply(state)
        pairs, between = equalizable(state.as_source())
        if not pairs:
            raise UserError(
                "there is nothing to equalize: no layer alone reads another one directly, through ReLU or a pool"
                + _in_the_way(between)
            )
        rounds, widest = 0, float("inf")
        while widest > CONVERGED and rounds < self.settings.rounds:
            widest = max(equalized(*_both(state.module, pair)) for pair in pairs)
            rounds += 1
        note = f"{_pairs(len(pairs))} of layers equalized in {rounds} rounds{_in_the_way(between)}"
        return Outcome((*folded.notes, note), {"pairs": [list(pair) for pair in pairs], "rounds": rounds})


def equalizable(source: ModelSource) -> tuple[list[Pair], Counter[str]]:
    """Return the pairs of layers of which the second alone reads the first, and each is called once.

    Also how often which operator stands between two layers that would be a pair without it. Raises ExportError, with
    the user's line, when the model can't be captured.
    """
    nodes = [node for node in capture_for_export(source).graph.nodes if _is_layer(node)]
    calls = Counter(node_module(node) for node in nodes)
    found, between = _neighbours(nodes)
    once = [pair for pair in found if all(calls[path] == 1 for path in pair)]
    return [pair for pair in once if _fit(*_both(source.module, pair)) and not _is_tied(source.module, pair)], between


def _neighbours(layers: list[Any]) -> tuple[list[Pair], Counter[str]]:
    """Pairs by the graph alone, and the operators between layers that are none."""
    found: list[Pair] = []
    between: Counter[str] = Counter()
    for layer in layers:
        first = _behind(layer.args[0])
        if _is_layer(first):
            found.append(Pair(node_module(first), node_module(layer)))
        elif first is not None and len(first.all_input_nodes) == 1 and _is_layer(_behind(first.all_input_nodes[0])):
            between[getattr(first.target, "overloadpacket", first.target).__name__] += 1
    return found, between


def _is_layer(node: Any) -> bool:
    """Whether a node is a layer, with weights as they are stored, which nothing else in the graph reads."""
    if str(getattr(node, "target", "")) not in LAYERS:
        return False
    return all(each.op == "placeholder" and len(each.users) == 1 for each in node.args[1:3] if each is not None)


def _behind(node: Any) -> Any:
    """What a value comes from, when nothing else reads it on the way; else None."""
    while len(getattr(node, "users", ())) == 1:
        if str(node.target) not in _HOMOGENEOUS and not _pads(node):
            return node
        node = node.args[0]
    return None


def _pads(node: Any) -> bool:
    """Whether it pads with zeros or with the values themselves, which scale."""
    mode, value = (*node.args, "constant", 0)[2:4] if str(node.target) == "aten.pad.default" else ("constant", 1)
    return mode != "constant" or not value


def _in_the_way(between: Counter[str]) -> str:
    return "".join(f"; {name} keeps apart {_pairs(count)}" for name, count in between.most_common())


def _pairs(count: int) -> str:
    return f"{count} pair{'s' * (count != 1)}"


def _both(module: nn.Module, pair: Pair) -> tuple[Any, Any]:
    return module.get_submodule(pair.first), module.get_submodule(pair.second)


def _is_tied(module: nn.Module, pair: Pair) -> bool:
    """Whether another module reads a weight of the pair, too, which then can't be scaled for this one alone."""
    readers = Counter(id(each) for part in module.modules() for each in part.parameters(recurse=False))
    return any(readers[id(each)] > 1 for layer in _both(module, pair) for each in layer.parameters(recurse=False))


def _fit(first: Any, second: Any) -> bool:
    """Whether the first's outputs are, one for one, the second's input channels; grouped ones only if depthwise."""
    if not all(isinstance(each, nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear) for each in (first, second)):
        return False
    return bool(_inputs(second).shape[0] == first.weight.shape[0])


def _inputs(layer: Any) -> torch.Tensor:
    """A view of a layer's weights with its input channels first."""
    weight: torch.Tensor = layer.weight.data
    depthwise = getattr(layer, "groups", 1) > 1
    return weight if depthwise and weight.shape[1] == 1 else weight.transpose(0, 1)


def equalized(first: Any, second: Any) -> float:
    """Make the channels between two layers reach equally far on both sides, in place; return the largest factor.

    A channel that is all zeros on a side stays as it is.
    """
    out, back = first.weight.data, _inputs(second)
    reach = [each.abs().flatten(1).amax(1) for each in (out, back)]
    factor = torch.sqrt(reach[0] / reach[1])
    factor = torch.where(torch.isfinite(factor) & (factor > 0), factor, torch.ones_like(factor))
    out /= _along_first(factor, out)
    back *= _along_first(factor, back)
    if first.bias is not None:
        first.bias.data /= factor
    return float(torch.maximum(factor, 1 / factor).max())


def _along_first(factor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return factor.reshape(-1, *[1] * (like.ndim - 1))
