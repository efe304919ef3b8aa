"""What zeros among the weights bring on a runtime, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile


def sparsity_remarks(targets: Sequence[TargetProfile], two_of_four: bool) -> list[str]:
    """Return a sentence for each target on what it makes of the zeros."""
    return [f"{target.name}: {_of(target, two_of_four)}" for target in targets]


def _of(target: TargetProfile, two_of_four: bool) -> str:
    runtime = target.runtime.name
    if runtime == "tensorrt" and two_of_four and _is_ampere(target):
        return (
            "Ampere GPUs and later can skip the zeros of 2:4; whether that is faster, the build on the device decides"
        )
    if runtime == "tensorrt":
        needed = "" if _is_ampere(target) else ", and this GPU can't skip even those of 2:4"
        return f"TensorRT computes single zeros like any other weight: no gain in speed or size{needed}"
    if runtime == "coreml":
        return "Core ML stores the zeros sparse, so that the file shrinks; it promises no speed for them"
    return (
        "ONNX Runtime has no kernels for sparse weights and stores zeros like any other: no gain in speed or size; "
        "`prune` removes whole channels, which brings both"
    )


def _is_ampere(target: TargetProfile) -> bool:
    capability = target.device.compute_capability
    return bool(capability) and float(capability) >= 8.0
