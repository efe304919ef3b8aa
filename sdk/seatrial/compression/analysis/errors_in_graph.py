"""The error of each layer's output inside a quantized graph, beside the float graph that it was made of."""

from __future__ import annotations

from typing import Any

import torch

from ..mixed_precision.sensitivity import sqnr_db
from ..quantization.quantizer import layer_path
from ..quantization.walk import Batches, walk


class Outputs:
    """Visits a graph and keeps every layer's outputs, by the layer's path."""

    def __init__(self) -> None:
        self.found: dict[str, list[torch.Tensor]] = {}

    def before(self, node: Any, inputs: list[torch.Tensor]) -> None:
        """Nothing to do."""

    def after(self, node: Any, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Keep the outputs of the layer's first call."""
        self.found.setdefault(layer_path(node), outputs)
        return outputs


def layer_errors(
    reference: torch.fx.GraphModule, quantized: torch.fx.GraphModule, batches: Batches
) -> dict[str, float]:
    """Return the SQNR in dB of each layer's output, by path, for layers that both graphs have."""
    wanted, found = Outputs(), Outputs()
    walk(reference, batches, wanted)
    walk(quantized, batches, found)
    pairs = {path: list(zip(wanted.found[path], values, strict=True)) for path, values in found.found.items()
             if path in wanted.found}  # fmt: skip
    return {path: sqnr_db(each) for path, each in pairs.items() if each[0][0].shape == each[0][1].shape}
