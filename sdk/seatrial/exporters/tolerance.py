"""How far a device's outputs may be from the golden ones, found by computing them in several ways on this host.

Fused and plain kernels, one thread or two, add in another order and round at other places, as another CPU's kernels do.
The tolerance is four times the widest spread among those ways, and never under a floor for the precision:

- float32: 1e-4. Sums of n products differ by about sqrt(n) * 6e-8; nets of 50 layers showed 3e-7 to 2e-6 here.
- float16: 2e-2. The ways here round each operator's output to 11 bits, but add up in float32; a CPU with float16
  arithmetic also adds up in float16, which costs some ten times the 5e-4 of one rounding.
- int8: 5e-2. A value that falls on the other side of a rounding step is off by one level, 1/255 of the range, and
  drags the layers after it along.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .host import Arrays, HostSession
from .parity import OVERFLOW, check_finite, relative_l2

if TYPE_CHECKING:
    from seatrial_targets.profile import RuntimeSpec

FLOOR = {"fp32": 1e-4, "fp16": 2e-2, "int8": 5e-2}
SAFETY = 4.0
CEILING = 0.5  # a device whose outputs are half noise is wrong, whatever the host's spread
WAYS = (("none", 1), ("basic", 1), ("extended", 2), ("all", 1), ("all", 2))


def spread(model: bytes | Path, runtime: RuntimeSpec, inputs: Arrays, golden: Arrays) -> dict[str, float]:
    """Return, for each output, the largest relative L2 distance from ``golden`` among the ways to run it here.

    Raises ExportError when one of them gives NaN.
    """
    widest = dict.fromkeys(golden, 0.0)
    for optimization, threads in WAYS:
        found = HostSession(model, optimization=optimization, threads=threads, config=runtime.config).run(inputs)
        check_finite(found, "the exported model on its example inputs", OVERFLOW)
        for name, value in golden.items():
            if value.dtype.kind == "f":
                widest[name] = max(widest[name], relative_l2(value, found[name]))
    return widest


def tolerance(precision: str, widest: float) -> float:
    """Return the relative L2 error allowed on a device; two digits, so that the last bits of a host do not show."""
    return float(f"{min(max(FLOOR[precision], SAFETY * widest), CEILING):.1e}")
