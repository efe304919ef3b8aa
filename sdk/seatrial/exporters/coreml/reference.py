"""The torch model beside a package: it sees images as the package does, and begins each call with fresh states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ExportError

from ..reference import TorchReference
from .features import Arrays, Feature

if TYPE_CHECKING:
    import torch

    from ...source import ModelSource


class AppReference:
    """The torch model as an app would see it. ``states`` are the buffers that it changes, by their path."""

    def __init__(
        self, source: ModelSource, names: list[str], features: tuple[Feature, ...], states: tuple[str, ...]
    ) -> None:
        self._reference, self._features = TorchReference(source, names), features
        buffers = dict(source.module.named_buffers())
        self._states = {name: (buffers[name], buffers[name].detach().clone()) for name in states}

    def run(self, inputs: Mapping[str, Any]) -> Arrays:
        """Return torch's outputs for one sample by name; states are as they were before."""
        try:
            return self.step(inputs)
        finally:
            self.reset()

    def step(self, inputs: Mapping[str, Any]) -> Arrays:
        """Return the outputs and leave the states as the model leaves them."""
        seen = {each.name: each.seen(inputs[each.name]) for each in self._features}
        return self._reference.run(seen)

    def reset(self) -> None:
        """Put the states back to what they were at first."""
        import torch

        with torch.no_grad():
            for buffer, first in self._states.values():
                buffer.copy_(first)


def states_of(source: ModelSource, program: torch.export.ExportedProgram) -> tuple[str, ...]:
    """Return the paths of the buffers that the model changes. Raises ExportError unless they begin with zeros, which is
    what Core ML begins with."""
    names = tuple(dict.fromkeys(program.graph_signature.buffers_to_mutate.values()))
    buffers = dict(source.module.named_buffers())
    for name in names:
        if name in buffers and bool((buffers[name] != 0).any()):
            raise ExportError(
                f"the model changes its buffer {name!r}, so that Core ML keeps it as a state, and states begin with "
                "zeros; let the buffer begin with zeros, too"
            )
    return names
