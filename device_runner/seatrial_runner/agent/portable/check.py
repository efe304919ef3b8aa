"""One output against its golden value."""

from __future__ import annotations

import math
import struct
from typing import Any

from .failure import text
from .job import Tensor


def distance(got: float, want: float) -> float:
    """Return how far apart two values are: 0 where both are NaN or the same infinity, infinite where one alone is."""
    if math.isfinite(got) and math.isfinite(want):
        return abs(got - want)
    return 0.0 if got == want or (got != got and want != want) else math.inf


def compare(tensor: Tensor, output: bytes, golden: memoryview) -> dict[str, Any]:
    """Return the check of one output against its golden value, as `records.OutputCheck`, in double precision."""
    form = f"<{tensor.count}{tensor.code}"
    got, want = struct.unpack(form, output), struct.unpack(form, golden)
    differences = [float(distance(g, w)) for g, w in zip(got, want)]
    nonfinite = sum(math.isfinite(w) and not math.isfinite(g) for g, w in zip(got, want))
    error = sum(d * d for d in differences)
    norm = sum(float(w) * w for w in want if math.isfinite(w))
    relative = 0.0 if error == 0 else math.inf if norm == 0 else math.sqrt(error) / math.sqrt(norm)
    return {
        "name": text(tensor.name),
        "rel_l2": relative,
        "max_abs": max(differences, default=0.0),
        "nonfinite": nonfinite,
        "argmax_equal": argmax(got) == argmax(want),
        "tolerance": tensor.tolerance,
        "ok": nonfinite == 0 and relative <= tensor.tolerance,
    }


def argmax(values: tuple[float, ...]) -> int:
    """Return the index of the highest value, the first of equals; NaN is never the highest."""
    top, highest = 0, -math.inf
    for index, value in enumerate(values):
        if value > highest:
            top, highest = index, value
    return top
