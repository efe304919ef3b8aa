"""Look at a model layer by layer: size, work, and what INT8 costs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from seatrial_targets.errors import UserError

from ..capture import Captured, capture_batched
from ..figures import count_macs, size_bytes, weights
from ..mixed_precision.sensitivity import KINDS, Judge, joined, layer_noise, macs_of_layers, sqnr_db, weight_scale
from ..quantization.cleaning import cleaned
from ..quantization.observers import PerChannelWeightObserver, RangeObserver
from ..quantization.pt2e import converted, copied, prepared
from ..quantization.ptq import specs
from ..quantization.quantizer import LayerQuantizer
from ..quantization.settings import Quantize
from ..state import CompressionState, OnEvent, Tensors, set_training
from ..surgery.batch_norm import foldable, replay
from .errors_in_graph import layer_errors
from .record import Analysis, LayerFigures

if TYPE_CHECKING:
    from ...source import ModelSource

HALF = 0.5


def analyse(source: ModelSource, *, samples: int = 16, on_event: OnEvent | None = None) -> Analysis:
    """Return the figures of every layer. ``samples``: calibration samples (else the example inputs) that are used.

    A quantized `.pt2` is compared with its reference (see ModelSource.with_data_of). Raises UserError, ModelError,
    ExportError.
    """
    told = {"on_event": on_event} if on_event is not None else {}
    state = CompressionState.of(source, **told)
    if state.form == "quantized":
        return _of_quantized(source, state, samples)
    return _of_float(source, state, samples)


def _of_float(source: ModelSource, state: CompressionState, most: int) -> Analysis:
    _fold(state, source)
    data, notes = _samples(state, most)
    noise = layer_noise(state, Judge(state, "sqnr", data), data, per_channel=True)
    captured = capture_batched(state.as_source())
    reference, quantized = _emulated(state, captured, data)
    batches = _batches(data, captured)
    layers = _layers(state, noise, layer_errors(reference, quantized, batches))
    return Analysis(
        name=source.name,
        samples=len(data),
        quantized="emulated",
        sqnr_db=_whole(reference, quantized, batches),
        layers=layers,
        hurting=_hurting(layers),
        notes=notes,
        **_sizes(source.module, source),
    )


def _of_quantized(source: ModelSource, state: CompressionState, most: int) -> Analysis:
    if source.reference is None:
        raise UserError(
            "a quantized model is compared with the one that it was made from: name that, with --data (in Python: "
            "source.with_data_of(original))"
        )
    original = CompressionState.of(source.original())
    _fold(original, source)
    data, notes = _samples(original, most)
    reference = capture_batched(original.as_source()).program.module()
    batches: Any = [tuple(each.values()) for each in data]
    return Analysis(
        name=source.name,
        samples=len(data),
        quantized="as given",
        sqnr_db=_whole(reference, state.module, batches),
        layers=_layers(original, {}, layer_errors(reference, state.module, batches)),
        notes=notes,
        **_sizes(state.module, source),
    )


def _fold(state: CompressionState, source: ModelSource) -> None:
    """Make the model as it will run: a batch norm is part of the layer before it."""
    edit = {"pairs": [list(pair) for pair in foldable(state.as_source())]}
    state.module = replay(state.module, edit, source.inputs)


def _sizes(module: torch.nn.Module, source: ModelSource) -> dict[str, Any]:
    return {
        "parameters": sum(each.numel() for each in weights(module)),
        "size_bytes": size_bytes(module),
        "macs": count_macs(module, dict(source.inputs), source.positional),
    }


def _samples(state: CompressionState, most: int) -> tuple[list[Tensors], tuple[str, ...]]:
    given = state.samples("calibration")[:most]
    if given:
        return given, ()
    examples = {name: value.detach() for name, value in state.source.inputs.items()}
    return [examples], ("looked at with the example inputs alone: the source has no `calibration`",)


def _batches(data: list[Tensors], captured: Captured) -> list[tuple[torch.Tensor, ...]]:
    return [tuple(each.values()) for each in (joined(data) if captured.batched else data)]


def _emulated(state: CompressionState, captured: Captured, data: list[Tensors]) -> tuple[Any, Any]:
    """The prepared float graph, and the same in plain INT8: nothing makes up for rounding, so that it shows."""
    plain = specs(Quantize(), False, RangeObserver.with_args(), PerChannelWeightObserver.with_args())
    model = prepared(captured.program.module(), LayerQuantizer(plain))
    with torch.no_grad():
        for batch in _batches(data, captured):
            model(*batch) if state.source.positional else model(**dict(zip(state.source.inputs, batch, strict=True)))
    reference = copied(model)
    quantized = cleaned(converted(model))
    set_training(quantized, False)
    return reference, quantized


def _whole(reference: Any, quantized: Any, batches: Any) -> float | None:
    from ..quantization.walk import walk

    pairs = [
        (a[0].float(), b[0].float())
        for a, b in zip(walk(reference, batches), walk(quantized, batches), strict=True)
        if a and b
    ]
    return sqnr_db(pairs) if pairs else None


def _layers(state: CompressionState, noise: dict[str, float], together: dict[str, float]) -> tuple[LayerFigures, ...]:
    found, macs = state.layers(*KINDS), macs_of_layers(state)
    total = sum(noise.values())
    called = [path for path in together if path in found]
    ordered = [*called, *(path for path in macs if path not in called)]
    return tuple(
        LayerFigures(
            path=path,
            kind=type(found[path]).__name__,
            weight_shape=tuple(found[path].weight.shape),
            parameters=sum(each.numel() for each in found[path].parameters()),
            size_bytes=sum(each.numel() * each.element_size() for each in found[path].parameters()),
            macs=macs.get(path, 0),
            weight_sqnr_db=_weight_sqnr(found[path]),
            alone_sqnr_db=_decibel(noise.get(path)),
            output_sqnr_db=together.get(path),
            noise_share=noise[path] / total if path in noise and total > 0 else None,
        )
        for path in ordered
    )


def _weight_sqnr(layer: Any) -> float:
    scale = weight_scale(layer, per_channel=True)
    weight = layer.weight.detach()
    return sqnr_db([(weight, (weight / scale).round().clamp(-127, 127) * scale)])


def _decibel(noise: float | None) -> float | None:
    import math

    return None if noise is None else 150.0 if noise <= 1e-15 else -10.0 * math.log10(noise)


def _hurting(layers: tuple[LayerFigures, ...]) -> tuple[str, ...]:
    worst = sorted((each for each in layers if each.noise_share), key=lambda each: -(each.noise_share or 0.0))
    found, share = [], 0.0
    for each in worst:
        if share >= HALF:
            break
        found.append(each.path)
        share += each.noise_share or 0.0
    return tuple(found)
