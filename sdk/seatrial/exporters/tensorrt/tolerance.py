"""How far a TensorRT engine's outputs may be from the golden ones.

The golden outputs are computed by ONNX Runtime, operator by operator, with its optimiser off: with it, version 1.31
quantizes float16 biases on its own, and a good file of 34 dB fell to 6 dB. TensorRT fuses, and rounds elsewhere. How
much that may move the outputs is looked up by computing the model in other ways: one with float16 in it also in
float32, one without also with the optimiser's kernels. The tolerance is four times the widest distance, and never under
the floor for the precision (see `exporters.tolerance`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..host import Arrays, HostSession
from ..onnx_surgery import serialized
from ..parity import relative_l2
from ..tolerance import spread, tolerance

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile

    from .precision import Precise


def tolerances_of(made: Precise, target: TargetProfile, inputs: Arrays, golden: Arrays) -> dict[str, float]:
    """Return the relative L2 error allowed on a device, by output."""
    if made.form.endswith("fp16"):
        found = HostSession(serialized(made.plain), optimization="none").run(inputs)
        widest = {n: relative_l2(v, found[n]) if v.dtype.kind == "f" else 0.0 for n, v in golden.items()}
    else:
        # Not of `plain`: its weights have no quantizers, so the optimiser rounds them anew, by one scale per tensor.
        widest = spread(serialized(made.model), target.runtime, inputs, golden)
    return {name: tolerance(target.precision, widest[name]) for name in golden}
