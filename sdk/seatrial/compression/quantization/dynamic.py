"""Dynamic INT8: weights are quantized now, activations of linear layers while the model runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from seatrial_targets.errors import UserError

from ..capture import capture_batched
from ..state import CompressionState, select, set_training
from ..step import Outcome
from ..weight_only.tables import quantize_tables
from .cleaning import cleaned
from .observers import EPS, PerChannelWeightObserver, WeightObserver
from .pt2e import PlaceholderObserver, QuantizationSpec, converted, prepared
from .quantizer import DynamicQuantizer, layer_nodes, layer_path

if TYPE_CHECKING:
    from .settings import Quantize

LEVELS = (0, 255)


def quantize_dynamically(settings: Quantize, state: CompressionState) -> Outcome:
    """Replace the state's module by a graph whose linear layers find the scales of their inputs. Raises UserError."""
    names = [name for name, _ in state.module.named_modules() if name]
    kept = select(settings.keep_float, names, "layer") if settings.keep_float else []
    tables = quantize_tables(state, kept) if settings.embeddings == 8 else []
    module = capture_batched(state.as_source()).program.module()
    convolutions = [layer_path(node) for node in layer_nodes(module.graph) if "conv" in str(node.target)]
    quantizer = DynamicQuantizer(_activation(), _weight(settings), kept)
    model = prepared(module, quantizer)
    if not quantizer.layers:
        raise UserError("nothing would be quantized: dynamic INT8 is for linear layers, and keep_float leaves none")
    with torch.no_grad():
        inputs = [value.detach() for value in state.source.inputs.values()]
        model(*inputs) if state.source.positional else model(**dict(zip(state.source.inputs, inputs, strict=True)))
    state.module = cleaned(converted(model))
    state.form = "quantized"
    set_training(state.module, False)
    notes = [f"{len(quantizer.layers)} linear layers as dynamic INT8"]
    if tables:
        notes.append(f"{len(tables)} tables of embeddings as INT8")
    if convolutions:
        notes.append(f"{len(convolutions)} convolutions stay in float32: dynamic INT8 makes them no faster")
    return Outcome(tuple(notes), {"layers": quantizer.layers, "embeddings": tables})


def _activation() -> QuantizationSpec:
    observer = PlaceholderObserver.with_args(dtype=torch.uint8, quant_min=LEVELS[0], quant_max=LEVELS[1], eps=EPS)
    return QuantizationSpec(torch.uint8, observer, *LEVELS, torch.per_tensor_affine, is_dynamic=True)


def _weight(settings: Quantize) -> QuantizationSpec:
    channels = settings.weights == "per_channel"
    kind = PerChannelWeightObserver if channels else WeightObserver
    scheme = torch.per_channel_symmetric if channels else torch.per_tensor_symmetric
    observer = kind.with_args(observer=settings.weight_observer)
    return QuantizationSpec(torch.int8, observer, -127, 127, scheme, 0 if channels else None)
