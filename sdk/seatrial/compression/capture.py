"""Capturing for compression: with a free batch size, to calibrate, train and evaluate, and then as exporters do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ExportError

from ..exporters.capture import capture
from ..exporters.shapes import given_shapes, resized

if TYPE_CHECKING:
    import torch

    from ..source import ModelSource


@dataclass(frozen=True)
class Captured:
    """A program, and whether it takes batches of any size along axis 0 of all its inputs."""

    program: torch.export.ExportedProgram
    batched: bool


def capture_batched(source: ModelSource) -> Captured:
    """Capture the source's module with a free batch axis, where all inputs and outputs have one in common.

    Else with the source's own dynamic shapes. Raises ExportError naming the user's line.
    """
    import torch

    sizes = {value.shape[0] if value.ndim else 0 for value in source.inputs.values()}
    if len(sizes) == 1 and sizes != {0}:
        traced = {name: _of_batch(value, max(2, value.shape[0])) for name, value in source.inputs.items()}
        axes = {name: {0: torch.export.Dim.AUTO} for name in source.inputs}
        try:
            program = capture(source, axes, traced)
        except ExportError:
            return Captured(capture_for_export(source), False)
        if _is_batched(program):
            return Captured(program, True)
    return Captured(capture_for_export(source), False)


def capture_for_export(source: ModelSource) -> torch.export.ExportedProgram:
    """Capture with the source's dynamic shapes, or all fixed: what goes into a `.pt2`. Raises ExportError."""
    given = {name: given_shapes(source).get(name) for name in source.inputs}
    return capture(source, given if any(given.values()) else None, source.inputs)


def _of_batch(value: torch.Tensor, size: int) -> torch.Tensor:
    return resized(value, (size, *value.shape[1:]))


def _is_batched(program: Any) -> bool:
    import torch

    signature = program.graph_signature
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    firsts = [values[name].shape[:1] for name in (*signature.user_inputs, *signature.user_outputs) if name in values]
    symbols = {str(first[0]) for first in firsts if first and isinstance(first[0], torch.SymInt)}
    return len(symbols) == 1 and all(first and isinstance(first[0], torch.SymInt) for first in firsts)
