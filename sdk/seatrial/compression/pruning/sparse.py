"""The step `prune_weights`: single weights become zeros, and what each runtime makes of that is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from seatrial_targets.errors import UserError

from ..capture import capture_batched
from ..quantization.quantizer import layer_paths
from ..quantization.unfolding import Unfolding
from ..state import CompressionState, select
from ..step import Outcome, Step
from .inputs import layer_inputs
from .rounds import RoundLog
from .runtimes import sparsity_remarks
from .sparse_settings import WITH_DATA, PruneWeights
from .sparsity import (
    by_channel,
    channel_order,
    from_channels,
    is_two_of_four,
    largest,
    sparsegpt,
    takes_two_of_four,
    two_of_four,
    wanda_scores,
)

if TYPE_CHECKING:
    from ..state import Tensors


class PruneWeightsStep(Step[PruneWeights]):
    """Carries `PruneWeights` out."""

    def check(self, state: CompressionState) -> None:
        """Find every layer that is named."""
        names = [name for name, _ in state.module.named_modules() if name]
        select((*self.settings.layers, *self.settings.keep), names, "layer")

    def apply(self, state: CompressionState) -> Outcome:
        """Set weights to 0 in place; ``state.sparse`` makes later steps hold them there."""
        layers = self._layers(state)
        if not layers:
            raise UserError("nothing would be pruned: keep names every layer, or none takes the pattern")
        samples = state.samples("calibration")[: self.settings.samples] if self.settings.method in WITH_DATA else []
        state.sparse = tuple(dict.fromkeys((*state.sparse, *(f"{path}.weight" for path in layers))))
        log = RoundLog.resumed(state)
        log.prepare(state, self.settings, state.sparse)
        for index in range(log.done, self.settings.rounds):
            state.tell("prune weights", index, self.settings.rounds)
            _Round(self.settings, state, samples, self.settings.parts()[index]).run(layers)
            log.train(state, self.settings, state.sparse)
            log.keep(state)
        return self._outcome(state, layers)

    def _layers(self, state: CompressionState) -> list[str]:
        """Paths of the layers to prune, in the order in which the model calls them."""
        names = [name for name, _ in state.module.named_modules() if name]
        kept = select(self.settings.keep, names, "layer") if self.settings.keep else []
        called = layer_paths(capture_batched(state.as_source()).program.module().graph)
        found = [path for path in called if path not in kept and hasattr(state.module.get_submodule(path), "weight")]
        if self.settings.pattern == "2:4":
            found = [path for path in found if takes_two_of_four(weight_of(state, path))]
        return found

    def _outcome(self, state: CompressionState, layers: list[str]) -> Outcome:
        zeros = {path: float((weight_of(state, path) == 0).float().mean()) for path in layers}
        total = sum(weight_of(state, path).numel() for path in layers)
        gone = sum(int((weight_of(state, path) == 0).sum()) for path in layers)
        if not gone:
            raise UserError("nothing was pruned: the amount is less than one weight in every layer; prune more")
        notes = [f"{gone / total:.1%} of the weights of {len(layers)} layers are 0"]
        if self.settings.pattern == "2:4":
            whole = [path for path in layers if is_two_of_four(weight_of(state, path))]
            notes.append(f"2:4 holds in {len(whole)} of {len(layers)} layers")
        notes += sparsity_remarks(state.targets, self.settings.pattern == "2:4")
        return Outcome(tuple(notes), {"zeros": {path: round(part, 4) for path, part in zeros.items()}})


class _Round:
    """One round: brings every layer to its share of zeros."""

    def __init__(self, settings: PruneWeights, state: CompressionState, samples: list[Tensors], part: float) -> None:
        self.settings, self.state, self.samples, self.part = settings, state, samples, part

    def run(self, layers: list[str]) -> None:
        shares = self._shares(layers)
        if self.settings.scope == "global":
            self._all_at_once(layers, (self.settings.amount or 0.0) * self.part)
            return
        for index, path in enumerate(layers):
            self.state.tell("prune weights", index, len(layers))
            weight = weight_of(self.state, path)
            amount = None if self.settings.pattern == "2:4" else shares[path] * self.part
            with torch.no_grad():
                weight.copy_(self._pruned(path, weight, amount))

    def _shares(self, layers: list[str]) -> dict[str, float]:
        shares = dict.fromkeys(layers, self.settings.amount or 0.0)
        for pattern, share in self.settings.layers.items():
            shares |= dict.fromkeys(select((pattern,), layers, "pruned layer"), share)
        return shares

    def _all_at_once(self, layers: list[str], amount: float) -> None:
        scores = [self._plain_scores(weight_of(self.state, path)).reshape(-1) for path in layers]
        kept = largest(torch.cat(scores)[None, None], amount, by_row=False).reshape(-1)
        for path, mask in zip(layers, kept.split([len(each) for each in scores]), strict=True):
            weight = weight_of(self.state, path)
            with torch.no_grad():
                weight.mul_(mask.reshape(weight.shape))

    def _pruned(self, path: str, weight: torch.Tensor, amount: float | None) -> torch.Tensor:
        layer = self.state.module.get_submodule(path)
        unfolding = Unfolding.of_layer(layer) if self.settings.method in WITH_DATA else None
        rows = by_channel(weight.detach(), unfolding.groups if unfolding else 1)
        h = self._curvature(layer, unfolding, weight.shape) if unfolding else None
        if h is not None and self.settings.method == "sparsegpt":
            return from_channels(sparsegpt(rows, h, amount, rows != 0), weight.shape)
        scores = wanda_scores(rows, h) if h is not None else self._plain_scores(rows)
        kept = two_of_four(scores) if amount is None else largest(scores, amount, by_row=h is not None)
        return from_channels(rows * kept, weight.shape)

    def _plain_scores(self, rows: torch.Tensor) -> torch.Tensor:
        if self.settings.method == "random":
            return torch.rand(rows.shape) * (rows != 0)
        return rows.detach().abs()

    def _curvature(self, layer: torch.nn.Module, unfolding: Unfolding, shape: torch.Size) -> torch.Tensor | None:
        inputs = layer_inputs(self.state.module, layer, self.samples, self.state.source.positional)
        if not inputs:
            return None
        order = channel_order(shape)
        return unfolding.curvature(inputs)[:, order][:, :, order]


def weight_of(state: CompressionState, path: str) -> Any:
    """Return the weight of the layer at ``path``."""
    return state.module.get_submodule(path).weight
