"""The figures of verdicts as flat rows: what programs that draw trends take, in plain units."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seatrial_ci.judgement import Judgement
from seatrial_ci.summary import BundleFigures, Figure, summarise

# unit of ours -> name as a measure, its SI unit, and what a value is multiplied by
NAMES = {"ns": ("seconds", 1e-9), "bytes": ("bytes", 1.0), "mJ": ("joules", 1e-3)}


@dataclass(frozen=True)
class Measure:
    """One figure of one candidate on one device. ``name`` ends with its unit; ``low`` and ``high``: 95 % interval.

    ``stamp`` names what was not real hardware; ``bigger_is_better`` is about the value.
    """

    model: str
    target: str
    device: str
    stamp: str
    name: str
    unit: str
    value: float
    low: float | None = None
    high: float | None = None
    runs: int = 0
    bigger_is_better: bool = False

    @property
    def series(self) -> str:
        """'small.TARGET on lab-pi', with the stamp."""
        return f"{self.model}.{self.target} on {self.device}" + (f" [{self.stamp}]" if self.stamp else "")


def measures(judgements: Sequence[Judgement]) -> tuple[Measure, ...]:
    """Return every figure that was measured; one that was not has no row. Times in seconds, energies in joules."""
    return tuple(row for each in judgements if each.trial is not None for row in _of(each))


def _of(judgement: Judgement) -> Iterator[Measure]:
    if judgement.trial is None:
        return
    found = summarise(judgement.trial)
    bundle = next(each for each in found.bundles if each.role == "candidate")
    head = (judgement.verdict.model or bundle.name, bundle.target, found.device, found.stamp)
    for name, figure in _figures(bundle):
        if figure.value is not None and math.isfinite(figure.value):
            unit, factor = NAMES[figure.unit]
            low, high = (x * factor if x is not None and math.isfinite(x) else None for x in (figure.low, figure.high))
            yield Measure(*head, f"{name}_{unit}", unit, figure.value * factor, low, high, figure.runs)
    yield Measure(*head, "size_bytes", "bytes", float(bundle.size_bytes))
    for name, value in bundle.accuracy.items():
        if not name.endswith("_torch") and math.isfinite(value):
            yield Measure(*head, f"accuracy_{name}", "", value, bigger_is_better=True)


def _figures(bundle: BundleFigures) -> Iterator[tuple[str, Figure]]:
    yield from ((f"latency_{name}", figure) for name, figure in bundle.latency.items())
    yield "cold_load", bundle.cold_load
    yield "peak_memory", bundle.peak_memory
    yield "energy_per_inference", bundle.energy
