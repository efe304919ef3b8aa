"""Where what is often claimed of a method does not hold on a target: said to whoever compresses for it.

The figures are from benchmarks/RESULTS.md, "Compression of ResNet18", and facts of ONNX Runtime's CPU provider.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from seatrial_targets.profile import TargetProfile

CONVOLUTIONAL = 0.5  # part of the weights from which on a model counts as convolutional


def remarks(module: torch.nn.Module, targets: Sequence[TargetProfile]) -> tuple[str, ...]:
    """Return one sentence for each target and claim that does not hold there."""
    convolutional = convolutional_part(module) > CONVOLUTIONAL
    return tuple(text for target in targets for text in _of_target(target, convolutional))


def half_remarks(half: Sequence[str], targets: Sequence[TargetProfile]) -> tuple[str, ...]:
    """Say for which targets the layers ``half``, computed in float16, lose time."""
    slower = [each.name for each in targets if each.runtime.name == "onnxruntime" and _is_x86(each)]
    why = "ONNX Runtime computes float16 in float32 on an x86 CPU, between casts, which is slower than keep_float"
    return (f"{', '.join(slower)}: keep_half: {why}",) if half and slower else ()


def convolutional_part(module: torch.nn.Module) -> float:
    """Return the part of the weights of convolutions and linear layers that convolutions hold, by their axes."""
    weights = [each for each in module.state_dict().values() if each.ndim >= 2]
    total = sum(each.numel() for each in weights)
    return sum(each.numel() for each in weights if each.ndim > 2) / total if total else 0.0


def _of_target(target: TargetProfile, convolutional: bool) -> list[str]:
    if target.runtime.name != "onnxruntime":
        return []
    found = []
    if target.precision == "fp16" and _is_x86(target):
        found.append(
            f"{target.name}: FP16 halves the file and no more: ONNX Runtime computes in float32 on an x86 CPU, so that "
            "the model is not faster and needs as much memory; static INT8 is the way to speed there"
        )
    how = target.quantization
    if target.precision == "int8" and how is not None and how.scheme == "dynamic" and convolutional:
        found.append(
            f"{target.name}: dynamic INT8 makes the file smaller, but not convolutions faster, which most of this "
            "model is: ConvInteger costs at least as much as float32; use static INT8"
        )
    return found


def _is_x86(target: TargetProfile) -> bool:
    return target.device.architecture == "x86_64"
