"""Tables of embeddings as INT8, with a scale for each row."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

from ..state import CompressionState
from ..surgery.places import put
from .layers import WeightOnlyEmbedding

LEAST_ROWS = 256  # of a table that is worth a scale for each row


def quantize_tables(state: CompressionState, skip: Collection[str] = ()) -> list[str]:
    """Replace the tables of embeddings in ``state.module``, but those at the paths in ``skip``; return their paths."""
    tables = {name: each for name, each in state.layers(nn.Embedding).items() if each.num_embeddings >= LEAST_ROWS}
    chosen = [name for name in tables if name not in skip]
    for name in chosen:
        put(state.module, name, WeightOnlyEmbedding(tables[name].weight).eval())
    return chosen
