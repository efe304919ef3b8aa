"""Implementations of MIL's operations, one module for each family, found by the operation's type."""

from __future__ import annotations

import functools
import importlib

from ..call import Implementation

FAMILIES = (
    "activation", "attention", "binary", "compression", "convolution", "gather", "linear", "listing", "normalization",
    "padding", "pooling", "quantization", "recurrent", "reduction", "reordering", "resampling", "resizing", "scatter",
    "selection", "shaping", "slicing", "unary",
)  # fmt: skip

# Executed by the evaluator itself, since they hold blocks, states or constants.
BUILT_IN = ("const", "cond", "while_loop", "read_state", "write_state", "coreml_update_state")


@functools.cache
def implementations() -> dict[str, Implementation]:
    """Return every operation type that can be executed, with its implementation."""
    found: dict[str, Implementation] = {}
    for family in FAMILIES:
        found |= importlib.import_module(f"{__name__}.{family}").OPS
    return found
