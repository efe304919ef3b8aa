"""2:4 sparsity: two zeros in each four weights along the input channels; Ampere and later GPUs skip them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...verify.onnx_graph import Graph
from ...verify.tensorrt.operators import sparse_layers

if TYPE_CHECKING:
    import onnx


def two_of_four_layers(model: onnx.ModelProto) -> tuple[tuple[str, ...], int]:
    """Return the layers whose every group of four has two zeros, and how many layers look pruned at all.

    Looked up in the exported file itself: rounding keeps a 0, folding a batch norm scales whole filters, and what a
    quantizer reads is what TensorRT reads.
    """
    found = {node.name: share for node, _, share in sparse_layers(Graph.of(model))}
    return tuple(name for name, share in found.items() if share == 1), len(found)


def sparsity_notes(model: onnx.ModelProto) -> tuple[str, ...]:
    """Say how many layers are 2:4 sparse; empty when none is."""
    whole, pruned = two_of_four_layers(model)
    text = f"2:4 sparsity: {len(whole)} of {pruned} pruned layers have it in the exported file"
    return (f"{text}; whether sparse kernels are faster, the build on the device decides",) if whole else ()
