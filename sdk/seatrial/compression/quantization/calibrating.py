"""The calibration data on its way through a prepared model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from seatrial_targets.errors import ModelError

from ...exporters.blame import node_place

if TYPE_CHECKING:
    from ..capture import Captured
    from ..state import CompressionState, Tensors

BATCH = 16
Batch = dict[str, "torch.Tensor"]


class Calibration:
    """The first ``most`` calibration samples of the source, joined to batches where the program takes those.

    Raises ModelError for samples that do not fit, with their index.
    """

    def __init__(self, state: CompressionState, captured: Captured, most: int) -> None:
        self.samples: list[Tensors] = state.samples("calibration")[:most]
        self._state, self._size = state, BATCH if captured.batched else 1

    def batches(self, most: int | None = None) -> list[Batch]:
        """Return all samples, or at most ``most``, taken evenly from all."""
        every = 1 if most is None else max(1, -(-len(self.samples) // most))
        samples = self.samples[::every]
        groups = [samples[i : i + self._size] for i in range(0, len(samples), self._size)]
        return [{name: torch.cat([each[name] for each in group]) for name in group[0]} for group in groups]

    def run(self, model: torch.nn.Module) -> None:
        """Run all samples through a prepared model. Raises ModelError when an observer saw NaN or infinity."""
        batches = self.batches()
        with torch.no_grad():
            for index, batch in enumerate(batches):
                self._state.tell("calibrate", index, len(batches))
                model(*batch.values()) if self._state.source.positional else model(**batch)
        _check_observers(model)


def _check_observers(model: Any) -> None:
    wrong = [name for name, each in model.named_modules() if not getattr(each, "finite", True)]
    if wrong:
        node = next(node for node in model.graph.nodes if node.op == "call_module" and node.target == wrong[0])
        what = node.args[0]
        raise ModelError(
            f"{node_place(what) or what.name}: holds NaN or infinity on the calibration data; no range covers that"
        )
