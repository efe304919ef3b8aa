"""The captured program of a model source: what every exporter starts from, and the model's identity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ExportError

from .capture import capture
from .digest import program_digest
from .shapes import ShapePlan

if TYPE_CHECKING:
    import torch

    from ..source import ModelSource


def captured(source: ModelSource, plan: ShapePlan, log: Path | None) -> torch.export.ExportedProgram:
    """Return the source's program, captured for the plan's shapes.

    Raises ExportError naming the user's line, or when a `.pt2` has fixed shapes where the target's vary.
    """
    if source.program is None:
        return capture(source, plan.dynamic, plan.traced, log)
    if plan.dynamic is not None and any(isinstance(n, int) for n in _moving_sizes(source, plan)):
        raise ExportError(
            "the target's shapes vary, but the .pt2 was captured with fixed ones; capture it again with "
            "torch.export.export(..., dynamic_shapes=...)"
        )
    return source.program


def identity(source: ModelSource, program: torch.export.ExportedProgram, plan: ShapePlan) -> str:
    """Return the model's digest.

    Captured with fixed shapes the program is the model's identity; else it is captured once more, so that one model
    has one digest for all targets.
    """
    return program_digest(program) if plan.dynamic is None or source.program else source.digest


def _moving_sizes(source: ModelSource, plan: ShapePlan) -> list[Any]:
    nodes = {node.name: node for node in source.program.graph.nodes} if source.program else {}
    dynamic = plan.dynamic or {}
    return [nodes[name].meta["val"].shape[axis] for name, axes in dynamic.items() if axes for axis in axes]
