"""Which layers make the model's outputs: their channels are classes, coordinates or pixels, and must all stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...exporters.blame import node_module
from ..capture import capture_for_export
from ..quantization.quantizer import LAYERS

if TYPE_CHECKING:
    from ...source import ModelSource


def output_layers(source: ModelSource) -> list[str]:
    """Return the paths of the layers from which a way to an output leads through no other layer with weights.

    Raises ExportError, with the user's line, when the model can't be captured.
    """
    graph: Any = capture_for_export(source).graph
    (output,) = [node for node in graph.nodes if node.op == "output"]
    found: dict[str, None] = {}
    waiting, seen = list(output.all_input_nodes), set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.target in LAYERS:
            found[node_module(node)] = None
        else:
            waiting += node.all_input_nodes
    return [path for path in found if path]
