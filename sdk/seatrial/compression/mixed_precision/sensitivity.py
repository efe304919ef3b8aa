"""What rounding one layer alone does to the model's quality, emulated: its weight and input to INT8, or all of it to
float16."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from seatrial_targets.errors import UserError, did_you_mean

from ...source import evaluating
from ..state import CompressionState, Tensors

KINDS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear,
)  # fmt: skip
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LEVELS = 127
BATCH = 16
Ranges = dict[str, float]


class Judge:
    """Measures quality, where more is better, of anything that answers like the original.

    ``metric`` "sqnr" is in dB, "divergence" is minus the mean Kullback-Leibler divergence of the class probabilities
    in nats, another name is the user's own metric. Raises UserError for a name that `evaluate` does not return.
    """

    def __init__(self, state: CompressionState, metric: str, samples: list[Tensors]) -> None:
        self._state, self.metric, self._samples = state, metric, joined(samples)
        module = state.source.reference or state.source.module
        self._answers = [first_output(module, sample, state.source.positional) for sample in self._samples]
        if metric not in ("sqnr", "divergence"):
            self._check_metric(metric)

    def quality(self, module: nn.Module) -> float:
        """Return the quality of ``module``."""
        if self.metric not in ("sqnr", "divergence"):
            return self._evaluated(module)[self.metric]
        positional = self._state.source.positional
        pairs = [
            (answer, first_output(module, sample, positional))
            for answer, sample in zip(self._answers, self._samples, strict=True)
        ]
        return sqnr_db(pairs) if self.metric == "sqnr" else -divergence(pairs)

    def noise(self, module: nn.Module) -> float:
        """Return what is lost, so that the losses of single layers may be added: noise power for SQNR."""
        quality = self.quality(module)
        if self.metric == "sqnr":
            return float(10.0 ** (-quality / 10.0))
        if self.metric == "divergence":
            return -quality
        return max(0.0, self._best - quality)

    def _evaluated(self, module: nn.Module) -> dict[str, float]:
        import dataclasses

        from ...exporters.accuracy import evaluate_torch

        return evaluate_torch(dataclasses.replace(self._state.as_source(), module=module))

    def _check_metric(self, metric: str) -> None:
        if self._state.source.evaluate is None:
            raise UserError(f"metric {metric!r} needs `evaluate` of the model source; or use sqnr or divergence")
        found = self._evaluated(self._state.module)
        if metric not in found:
            raise UserError(f"metric: `evaluate` returns no {metric!r}{did_you_mean(metric, found)}")
        self._best = found[metric]


def layer_noise(state: CompressionState, judge: Judge, samples: list[Tensors], per_channel: bool) -> dict[str, float]:
    """Return what is lost when each layer alone is INT8; the others stay as they are."""
    layers = state.layers(*KINDS)
    ranges = input_ranges(state, layers, samples)
    found = {}
    for done, (path, layer) in enumerate(layers.items()):
        state.tell("sensitivity of layers", done, len(layers))
        if path in ranges:
            with rounded(layer, ranges[path], per_channel):
                found[path] = judge.noise(state.module)
    return found


def half_noise(state: CompressionState, judge: Judge, paths: Sequence[str]) -> dict[str, float]:
    """Return what is lost when each of these layers alone is computed in float16; inf where that does not hold it."""
    found = {}
    for done, path in enumerate(paths):
        state.tell("sensitivity of layers to float16", done, len(paths))
        with halved(state.module.get_submodule(path)) as held:
            lost = judge.noise(state.module)
        found[path] = lost if held() else math.inf
    return found


def input_ranges(state: CompressionState, layers: Mapping[str, nn.Module], samples: list[Tensors]) -> Ranges:
    """Return the largest magnitude of each layer's input over the samples; layers that are not called are left out."""
    found: Ranges = {}

    def hook(path: str) -> Callable[..., None]:
        def keep(layer: nn.Module, args: tuple[torch.Tensor, ...]) -> None:
            found[path] = max(found.get(path, 0.0), float(args[0].abs().amax()))

        return keep

    handles = [layer.register_forward_pre_hook(hook(path)) for path, layer in layers.items()]
    try:
        for sample in joined(samples):
            first_output(state.module, sample, state.source.positional)
    finally:
        for handle in handles:
            handle.remove()
    return found


@contextmanager
def rounded(layer: nn.Module, reach: float, per_channel: bool) -> Iterator[None]:
    """Context: ``layer`` computes with a symmetric INT8 weight and an input rounded to 255 levels of +-``reach``."""
    weight = layer.weight
    scale = max(reach, 1e-12) / LEVELS

    def round_input(_: nn.Module, args: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        return (_rounded(args[0], torch.tensor(scale)), *args[1:])

    handle = layer.register_forward_pre_hook(round_input)
    kept = weight.data
    weight.data = _rounded(kept, weight_scale(layer, per_channel))
    try:
        yield
    finally:
        weight.data = kept
        handle.remove()


@contextmanager
def halved(layer: nn.Module) -> Iterator[Callable[[], bool]]:
    """Context: what ``layer`` reads, its weights, and what it gives are rounded to float16, and then held within it.

    Gives a function that tells whether nothing had to be held.
    """
    exceeded = []

    def rounded_to_half(value: torch.Tensor) -> torch.Tensor:
        reach = torch.finfo(torch.float16).max
        exceeded.append(bool((value.abs() > reach).any()))
        return value.clamp(-reach, reach).half().float()

    handles = [
        layer.register_forward_pre_hook(lambda _, args: (rounded_to_half(args[0]), *args[1:])),
        layer.register_forward_hook(lambda _, args, output: rounded_to_half(output)),
    ]
    kept = {parameter: parameter.data for parameter in layer.parameters(recurse=False)}
    for parameter, value in kept.items():
        parameter.data = rounded_to_half(value)
    try:
        yield lambda: not any(exceeded)
    finally:
        for parameter, value in kept.items():
            parameter.data = value
        for handle in handles:
            handle.remove()


def weight_scale(layer: nn.Module, per_channel: bool) -> torch.Tensor:
    """Return the scale of a symmetric INT8 weight, one for each output channel or for all."""
    weight: torch.Tensor = layer.weight.data
    axis = 1 if isinstance(layer, TRANSPOSED) else 0
    others = tuple(i for i in range(weight.ndim) if i != axis)
    most = weight.abs().amax(others, keepdim=True) if per_channel else weight.abs().amax()
    return (most / LEVELS).clamp(min=1e-12)


def _rounded(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return torch.round(x / scale).clamp(-LEVELS, LEVELS) * scale


def first_output(module: nn.Module, inputs: Tensors, positional: bool) -> torch.Tensor:
    """Run a module on one batch in eval mode, without gradients, and return its first output."""
    from ..training.objective import first_tensor

    with torch.no_grad(), evaluating(module):
        return first_tensor(module(*inputs.values()) if positional else module(**inputs)).float()


def joined(samples: list[Tensors]) -> list[Tensors]:
    """Join samples along axis 0, `BATCH` of them each; those without a batch axis stay as they are."""
    if not samples or any(each.ndim == 0 for each in samples[0].values()):
        return samples
    groups = [samples[i : i + BATCH] for i in range(0, len(samples), BATCH)]
    return [{name: torch.cat([each[name] for each in group]) for name in group[0]} for group in groups]


def sqnr_db(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Return 10 log10(sum r^2 / sum (r - f)^2) over all pairs (reference, found); 150 stands for no difference."""
    signal = sum(float(reference.double().pow(2).sum()) for reference, _ in pairs)
    noise = sum(float((reference.double() - found.double()).pow(2).sum()) for reference, found in pairs)
    return 150.0 if noise <= signal * 1e-15 else 10.0 * math.log10(max(signal, 1e-300) / noise)


def divergence(pairs: list[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Return the mean KL(softmax(reference) || softmax(found)), nats; classes are axis 1, or the last of (N, T, V)."""
    total, count = 0.0, 0
    for reference, found in pairs:
        axis = -1 if reference.ndim == 3 else min(1, reference.ndim - 1)
        log_p = functional.log_softmax(reference.double(), axis)
        each = (log_p.exp() * (log_p - functional.log_softmax(found.double(), axis))).sum(axis)
        total, count = total + float(each.sum()), count + each.numel()
    return max(0.0, total / max(count, 1))


def macs_of_layers(state: CompressionState) -> dict[str, int]:
    """Return the multiply-accumulates of each layer in one call with the example inputs."""
    found: dict[str, int] = {}

    def hook(path: str) -> Callable[..., None]:
        def count(layer: Any, args: Any, output: torch.Tensor) -> None:
            each = layer.weight.numel() // layer.weight.shape[1 if isinstance(layer, TRANSPOSED) else 0]
            # A transposed convolution works once for each input value, any other once for each output value.
            places = args[0] if isinstance(layer, TRANSPOSED) else output
            found[path] = found.get(path, 0) + places.numel() * each

        return count

    handles = [layer.register_forward_hook(hook(path)) for path, layer in state.layers(*KINDS).items()]
    try:
        first_output(state.module, dict(state.source.inputs), state.source.positional)
    finally:
        for handle in handles:
            handle.remove()
    return found
