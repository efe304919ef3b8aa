"""The step `quantize_weights`: linear layers in groups of INT8 or INT4, stage after stage, and embeddings by row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from seatrial_targets.errors import ModelError, UserError

from ..mixed_precision.sensitivity import Judge
from ..state import CompressionState, select
from ..step import Outcome, Step
from .gptq import Curvature, gptq
from .grid import Grid, fit_grid
from .layers import WeightOnlyLinear
from .settings import QuantizeWeights
from .tables import quantize_tables

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile

    from ..state import Tensors

LEAST_GROUP = 16  # MatMulNBits takes groups of 16, 32, 64, 128 or 256


class QuantizeWeightsStep(Step[QuantizeWeights]):
    """Replaces layers by such that hold integers; the module then is what is captured for the `.pt2`."""

    def check(self, state: CompressionState) -> None:
        """Raise UserError when no layer is left to quantize, UnknownNameError for a path that is not there."""
        if not self._chosen(state):
            raise UserError("no linear layer is left to quantize: the model has none that `layers` and `skip` leave")

    def refused_by(self, target: TargetProfile) -> str:
        """Only ONNX Runtime has an operator for weights in groups that this version exports to."""
        if target.runtime.name == "onnxruntime":
            return ""
        return (
            f"weights in groups with floating-point activations reach ONNX Runtime alone (MatMulNBits), not "
            f"{target.runtime.name}; export the float model as fp16 there, or quantize it as INT8"
        )

    def apply(self, state: CompressionState) -> Outcome:
        """Quantize the chosen layers of ``state.module``, in place. Raises ModelError for NaN and infinite inputs."""
        chosen = self._chosen(state)
        groups = {path: self._group_size(_weight(layer).shape[1]) for path, layer in chosen.items()}
        left = [path for path, group in groups.items() if group is None]
        samples = self._samples(state)
        stages = stages_of([path for path in chosen if groups[path] is not None])
        errors: dict[str, dict[str, float]] = {}
        for done, stage in enumerate(stages):
            state.tell("quantize weights", done, len(stages))
            errors |= self._stage(state, {path: chosen[path] for path in stage}, groups, samples)
        tables = quantize_tables(state, self.settings.skip) if self.settings.embeddings == 8 else []
        raised = self._raised(state, chosen, groups, errors, samples)
        state.form = "quantized"
        return Outcome(
            (*self._notes(chosen, left, tables, samples), *_said_of_raised(raised, self.settings.least_quality)),
            {
                "layers": errors,
                "raised_to_8_bits": raised,
                "left_in_float": left,
                "embeddings": tables,
                "samples": len(samples),
            },
        )

    def _chosen(self, state: CompressionState) -> dict[str, nn.Module]:
        every = {name: each for name, each in state.module.named_modules() if name and is_linear(each)}
        wanted = select(self.settings.layers, list(every), "linear layer") if self.settings.layers else list(every)
        skipped = set(select(self.settings.skip, list(every), "linear layer"))
        return {path: every[path] for path in wanted if path not in skipped}

    def _group_size(self, inputs: int) -> int | None:
        size: int = self.settings.group_size
        while size >= LEAST_GROUP:
            if inputs % size == 0:
                return size
            size //= 2
        return None

    def _samples(self, state: CompressionState) -> list[Tensors]:
        if self.settings.method == "rtn" or state.source.calibration is None:
            return []
        return state.samples("calibration")

    def _stage(
        self,
        state: CompressionState,
        layers: Mapping[str, nn.Module],
        groups: Mapping[str, int | None],
        samples: list[Tensors],
    ) -> dict[str, dict[str, float]]:
        """Quantize the layers of one stage, whose inputs come from what is quantized already."""
        curvatures = gathered(state, layers, samples) if samples else {}
        found = {}
        for path, layer in layers.items():
            weight, bias = _weight(layer), getattr(layer, "bias", None)
            made, grid = self._rounded(weight, curvatures.get(path), groups[path] or 0, path)
            difference = grid.restored(made) - weight
            found[path] = {"relative_error": float(difference.norm() / weight.norm().clamp(min=1e-12))}
            if path in curvatures:
                power = max(curvatures[path].error(weight), 1e-12)
                found[path]["output_error"] = curvatures[path].error(difference) / power
            _replace(state.module, path, WeightOnlyLinear(made, grid, bias))
        return found

    def _rounded(
        self, weight: torch.Tensor, curvature: Curvature | None, group: int, path: str
    ) -> tuple[torch.Tensor, Grid]:
        settings = self.settings
        if not bool(weight.isfinite().all()):
            raise ModelError(f"layer {path!r} has weights that are NaN or infinite")
        if curvature is None or curvature.count == 0:
            grid = fit_grid(weight, settings.bits, group, settings.symmetric)
            return grid.quantized(weight), grid
        try:
            return gptq(weight, curvature, settings.bits, group, settings.symmetric, settings.damping)
        except torch.linalg.LinAlgError as error:
            raise ModelError(f"layer {path!r}: GPTQ needs more or other calibration data, or more damping") from error

    def _raised(
        self,
        state: CompressionState,
        chosen: Mapping[str, nn.Module],
        groups: Mapping[str, int | None],
        errors: Mapping[str, Mapping[str, float]],
        samples: list[Tensors],
    ) -> list[str]:
        """Give layers 8 bits, the worst first, until the wanted quality is reached; return their paths."""
        wanted = self.settings.least_quality
        if wanted is None:
            return []
        judge = Judge(state, "sqnr", samples or [dict(state.source.inputs)])
        rest = sorted(errors, key=lambda path: -errors[path].get("output_error", errors[path]["relative_error"]))
        raised: list[str] = []
        quality = judge.quality(state.module)
        while quality < wanted and rest:
            now = [rest.pop(0) for _ in range(min(max(1, len(raised) // 2), len(rest)))]
            for path in now:
                weight = _weight(chosen[path])
                grid = fit_grid(weight, 8, groups[path] or 0, self.settings.symmetric)
                new = WeightOnlyLinear(grid.quantized(weight), grid, getattr(chosen[path], "bias", None))
                _replace(state.module, path, new)
            raised += now
            quality = judge.quality(state.module)
        if quality < wanted:
            raise UserError(f"least_quality: {wanted:g} dB is not reached with 8 bits everywhere ({quality:.1f} dB)")
        return raised

    def _notes(
        self, chosen: Mapping[str, Any], left: list[str], tables: list[str], samples: list[Tensors]
    ) -> list[str]:
        settings = self.settings
        how = f"GPTQ on {len(samples)} calibration samples" if samples else "rounded to the nearest"
        notes = [
            f"{len(chosen) - len(left)} linear layers as INT{settings.bits} in groups of {settings.group_size}, {how}"
        ]
        if settings.method == "auto" and not samples:
            notes.append("the source has no calibration data; with some, GPTQ loses less at the same size")
        if settings.bits == 4:
            notes.append("a .pt2 keeps a byte for each INT4 weight; ONNX packs two into one")
        if left:
            notes.append(
                f"{len(left)} layers stay in float, no group of 16 or more divides their inputs: {left[0]}, ..."
            )
        if tables:
            notes.append(f"{len(tables)} tables of embeddings as INT8")
        return notes


def _said_of_raised(raised: list[str], wanted: float | None) -> tuple[str, ...]:
    if wanted is None:
        return ()
    where = f": {', '.join(raised[:4])}{' ...' if len(raised) > 4 else ''}" if raised else ""
    return (f"{len(raised)} layers have 8 bits, to reach {wanted:g} dB{where}",)


def is_linear(layer: nn.Module) -> bool:
    """True for torch's linear layers, and for transformers' Conv1D, which is one with its weight transposed."""
    return isinstance(layer, nn.Linear) or (type(layer).__name__ == "Conv1D" and hasattr(layer, "nf"))


def stages_of(paths: list[str]) -> list[list[str]]:
    """Return paths that are quantized together: those in one numbered block, `layer.3.*`; others alone.

    >>> stages_of(["a.0.x", "a.0.y", "a.1.x", "head"])
    [['a.0.x', 'a.0.y'], ['a.1.x'], ['head']]
    """
    found: dict[str, list[str]] = {}
    for path in paths:
        block = re.match(r"(.*?\.\d+)(\.|$)", path)
        found.setdefault(block[1] if block else path, []).append(path)
    return list(found.values())


def gathered(state: CompressionState, layers: Mapping[str, nn.Module], samples: list[Tensors]) -> dict[str, Curvature]:
    """Run the samples through the model as it is now and return the curvature of each layer's inputs."""
    found = {path: Curvature(_weight(layer).shape[1]) for path, layer in layers.items()}
    mask: torch.Tensor | None = None

    def hook(path: str) -> Any:
        return lambda layer, args: found[path].add(args[0], mask)

    handles = [layer.register_forward_pre_hook(hook(path)) for path, layer in layers.items()]
    source = state.as_source()
    try:
        for sample in samples:
            mask = sample.get("attention_mask")
            source.call(sample)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _weight(layer: nn.Module) -> torch.Tensor:
    weight: torch.Tensor = layer.weight.detach().float()
    return weight if isinstance(layer, nn.Linear) else weight.T.contiguous()


def _replace(module: nn.Module, path: str, new: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(module.get_submodule(parent), name, new.eval())
