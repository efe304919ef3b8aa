"""Measured latency between steps: the model as it is now, exported and run on a device through Seatrial's own trial."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ExportError

from .record import Latency

if TYPE_CHECKING:
    from ..source import ModelSource
    from .state import CompressionState


@dataclass(frozen=True)
class Bench:
    """On which device latency is measured, exported for which targets; ``plan`` as in `seatrial.bench`."""

    device: str
    targets: tuple[str, ...]
    inventory: Path | None = None
    plan: Mapping[str, Any] = field(default_factory=dict)


def measured_latency(state: CompressionState, bench: Bench, when: str) -> tuple[Latency, ...]:
    """Export the model for each target and measure it; what can't be exported has a reason instead of a number.

    Raises DeviceErrors.
    """
    found = []
    for target in bench.targets:
        state.tell(f"measure {when} on {bench.device} ({target})")
        found.append(bench_source(state.as_source(), target, bench))
    return tuple(found)


def bench_source(source: ModelSource, target: str, bench: Bench) -> Latency:
    """Return the median latency of ``source`` on the device, with its interval over runs."""
    from seatrial_ci.summary import summarise

    from .. import api

    with tempfile.TemporaryDirectory() as folder:
        try:
            bundle = api.export(source, target, folder)
        except ExportError as error:
            return Latency(device=bench.device, target=target, reason=str(error))
        trial = api.bench(bundle.path, bench.device, inventory=bench.inventory, plan=bench.plan)
    summary = summarise(trial)
    figure = summary.bundles[0].latency["p50"]
    return Latency(
        device=bench.device,
        target=target,
        p50_ns=figure.value,
        low_ns=figure.low,
        high_ns=figure.high,
        runs=figure.runs,
        reason=figure.reason,
        stamp=summary.stamp,
    )
