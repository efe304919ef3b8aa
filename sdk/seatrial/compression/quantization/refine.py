"""Make up for what rounding costs, layer after layer, each seeing what those before it now give.

Bias correction: Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
section 4.2, here with data. Correcting all layers at once overshoots: the errors add up along the graph.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import torch

from ...exporters.parity import sqnr_db
from .cleaning import attribute
from .rounding import rounded
from .unfolding import Unfolding, grouped
from .walk import Batches, walk


class Means:
    """Visits the float graph: the mean of each layer's outputs, channel by channel."""

    def __init__(self) -> None:
        self.found: dict[str, torch.Tensor] = {}

    def before(self, node: Any, inputs: list[torch.Tensor]) -> None:
        """Nothing to do."""

    def after(self, node: Any, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Keep the mean."""
        self.found[node.name] = channel_means(node, outputs)
        return outputs


class Refiner:
    """Visits the quantized graph: rounds weights adaptively, then shifts biases by the mean error that is left."""

    def __init__(
        self, module: torch.fx.GraphModule, reference: torch.fx.GraphModule, *, rounding: bool, biases: bool
    ) -> None:
        self.module, self.rounding, self.biases = module, rounding, biases
        self.means: dict[str, torch.Tensor] = {}
        self.reference = {node.name: node for node in reference.graph.nodes}
        self.float = reference
        self.readers = Counter(node.target for node in module.graph.nodes if node.op == "get_attr")
        self.rounded_layers = 0

    def before(self, node: Any, inputs: list[torch.Tensor]) -> None:
        """Round the layer's weights anew, for the inputs that it gets now."""
        if not self.rounding or not _is_dequantized(node.args[1]):
            return
        stored = node.args[1].args[0]
        original = self._float_weight(node)
        unfolding = Unfolding.of_node(node, original) if original is not None else None
        if unfolding is None or original is None:
            return
        # Where the bias will make up for the mean, rounding that also minds it would pay for what is free.
        h = unfolding.curvature(inputs, centred=self._bias_is_free(node))
        weight, groups = grouped(original, unfolding.groups), unfolding.groups
        scale = self._scale(node.args[1]).expand(original.shape[0]).reshape(groups, -1, 1)
        levels = (int(node.args[1].args[-3]), int(node.args[1].args[-2]))
        made = rounded(weight, scale, levels, h)
        attribute(self.module, stored.target).copy_(made.reshape(original.shape))
        self.rounded_layers += 1

    def after(self, node: Any, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Shift the bias; return the outputs with it."""
        known = self.means.get(node.name)
        if known is None or not self._bias_is_free(node) or not _is_dequantized(node.args[1]):
            return outputs
        error = channel_means(node, outputs) - known
        attribute(self.module, node.args[2].target).sub_(error)
        return [each - _shaped(error, node, each) for each in outputs]

    def _bias_is_free(self, node: Any) -> bool:
        """Whether the layer has a bias that no other reads, and that may be shifted."""
        place: Any = node.args[2] if len(node.args) > 2 else None
        return self.biases and getattr(place, "op", "") == "get_attr" and self.readers[place.target] == 1

    def _float_weight(self, node: Any) -> torch.Tensor | None:
        other = self.reference.get(node.name)
        place: Any = other.args[1] if other is not None else None
        while place is not None and place.op == "call_module":  # its observer
            place = place.args[0]
        if place is None or place.op != "get_attr":
            return None
        found: torch.Tensor = attribute(self.float, place.target)
        return found.detach()

    def _scale(self, dequantize: Any) -> torch.Tensor:
        scale = dequantize.args[1]
        if isinstance(scale, float):
            return torch.tensor([scale])
        found: torch.Tensor = attribute(self.module, scale.target)
        return found


def refine(
    module: torch.fx.GraphModule, reference: torch.fx.GraphModule, batches: Batches, *, rounding: bool, biases: bool
) -> tuple[str, ...]:
    """Refine a quantized graph in place, where that brings its outputs nearer to ``reference``; return notes.

    ``reference``: the graph from before the conversion, with its float weights.
    """
    means = Means()
    wanted = walk(reference, batches, means)
    kept = {name: value.clone() for name, value in module.state_dict().items()}
    before = _fidelity(wanted, walk(module, batches))
    refiner = Refiner(module, reference, rounding=rounding, biases=biases)
    refiner.means = means.found
    walk(module, batches, refiner)
    gain = _fidelity(wanted, walk(module, batches)) - before
    named = " and ".join([*["adaptive rounding"] * rounding, *["bias correction"] * biases])
    if gain <= 0:
        module.load_state_dict(kept)
        return (f"{named}: {gain:+.1f} dB on the calibration samples, not used",)
    return (f"{named}: {gain:+.1f} dB on the calibration samples",)


def channel_means(node: Any, outputs: list[torch.Tensor]) -> torch.Tensor:
    """Return the mean over all batches and places of a layer's outputs, for each channel, in float64."""
    axis = _channel_axis(node, outputs[0])
    sums = [each.double().transpose(0, axis).flatten(1).sum(dim=1) for each in outputs]
    count = sum(each.numel() // each.shape[axis] for each in outputs)
    return torch.stack(sums).sum(dim=0) / count


def _channel_axis(node: Any, value: torch.Tensor) -> int:
    last = int(value.ndim) - 1
    return last if node.target == torch.ops.aten.linear.default else last - _spatial(node)


def _spatial(node: Any) -> int:
    return int(next(digit for digit in str(node.target) if digit in "123"))


def _shaped(error: torch.Tensor, node: Any, value: torch.Tensor) -> torch.Tensor:
    shape = [1] * value.ndim
    shape[_channel_axis(node, value)] = -1
    return error.to(value.dtype).reshape(shape)


def _is_dequantized(node: Any) -> bool:
    return "dequantize_per_" in str(getattr(node, "target", ""))


def _fidelity(wanted: list[list[torch.Tensor]], found: list[list[torch.Tensor]]) -> float:
    """The worst output's SQNR in dB."""
    count = len(wanted[0])
    stacked = [
        (np.concatenate([each[i].numpy().ravel() for each in wanted]),
         np.concatenate([each[i].numpy().ravel() for each in found]))
        for i in range(count) if wanted[0][i].is_floating_point()
    ]  # fmt: skip
    return min((sqnr_db(a, b) for a, b in stacked), default=0.0)
