"""The calibration data on its way through a prepared model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from seatrial_targets.errors import ModelError

from ...exporters.blame import node_place
from .observers import RangeObserver

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

    def run(self, model: torch.nn.Module) -> tuple[str, ...]:
        """Run all samples through a prepared model; return notes. Raises ModelError when an observer saw NaN or
        infinity."""
        batches = self.batches()
        with torch.no_grad():
            for index, batch in enumerate(batches):
                self._state.tell("calibrate", index, len(batches))
                model(*batch.values()) if self._state.source.positional else model(**batch)
        _check_observers(model)
        return (f"calibrated on {len(self.samples)} samples", *_constants(model))


def _check_observers(model: Any) -> None:
    wrong = [name for name, each in model.named_modules() if not getattr(each, "finite", True)]
    if wrong:
        where = _place(model, wrong[0])
        raise ModelError(f"{where}: holds NaN or infinity on the calibration data; no range covers that")


def _constants(model: Any) -> tuple[str, ...]:
    """A note on activations that never change: their range fits no other value."""
    ranges = ((name, each) for name, each in model.named_modules() if isinstance(each, RangeObserver))
    places = dict.fromkeys(_place(model, name) for name, each in ranges if bool(each.min_val == each.max_val))
    if not places:
        return ()
    shown = ", ".join([*places][:3]) + (", ..." if len(places) > 3 else "")
    return (f"constant on all calibration samples: {shown}; what differs from that will be cut off",)


def _place(model: Any, observer: str) -> str:
    """Where in the user's code the value is made that an observer watches."""
    node = next(node for node in model.graph.nodes if node.op == "call_module" and node.target == observer)
    return str(node_place(node.args[0]) or node.args[0].name)
