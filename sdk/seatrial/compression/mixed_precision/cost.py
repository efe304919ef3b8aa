"""What float layers cost on a device: variants of the model side by side with the all-INT8 one, in duets."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from seatrial_targets.errors import ExportError, UserError

if TYPE_CHECKING:
    from torch import nn

    from seatrial_runner.bundle import Bundle

    from ..latency import Bench
    from ..state import CompressionState


@dataclass(frozen=True)
class Relative:
    """A latency as a multiple of another one, with its two-sided 95 % interval over runs."""

    ratio: float
    low: float
    high: float


class Comparison:
    """Compares variants of a model with one baseline on the device. Use as a context: it holds the bundles."""

    def __init__(self, state: CompressionState, bench: Bench, runs: int) -> None:
        self._state, self._bench, self._runs = state, bench, runs
        self.target = bench.targets[0]
        self.baseline: Bundle | None = None

    def __enter__(self) -> Comparison:
        self._folder = tempfile.TemporaryDirectory()
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def against(self, baseline: nn.Module) -> None:
        """Export ``baseline``: what all others are compared with."""
        self.baseline = self._exported(baseline, "baseline", self.target)

    def of(self, variant: nn.Module, name: str, target: str = "") -> Relative:
        """Return the latency of ``variant`` as a multiple of the baseline's. Raises ExportError, DeviceErrors."""
        return self._compared(self._exported(variant, name, target or self.target))

    def of_float(self) -> Relative | None:
        """Return the same of the float model, exported for the target's FP32 sibling; None when there is none."""
        sibling = float_sibling(self.target)
        try:
            return self.of(self._state.module, "float", sibling) if sibling else None
        except ExportError:
            return None

    def _exported(self, module: nn.Module, name: str, target: str) -> Bundle:
        from ... import api

        source = dataclasses.replace(self._state.as_source(module=module), checks=None, evaluate=None)
        return api.export(source, target, self._folder.name, name=name)

    def _compared(self, variant: Bundle) -> Relative:
        from seatrial_ci.figures import comparison_of, duet_log_ratios, separate_log_ratios
        from seatrial_ci.statistics.intervals import Floats
        from seatrial_ci.statistics.runs import run_interval
        from seatrial_runner.plan import Plan, quiet
        from seatrial_runner.session import profile_of
        from seatrial_runner.trial import open_trial
        from seatrial_targets import inventory

        if self.baseline is None:
            raise UserError("there is no baseline to compare with")
        device = inventory.load(self._bench.inventory).get(self._bench.device)
        plan = Plan.for_profile(profile_of(variant)).but(**dict(self._bench.plan))
        bundles = {"candidate": variant, "baseline": self.baseline}
        with open_trial(device, bundles, plan, on_event=quiet) as runner:  # type: ignore[arg-type]
            runner.pairs(self._runs)
        series = duet_log_ratios if comparison_of(runner.trial) == "duet" else separate_log_ratios
        found = series(runner.trial)
        if found.problem or len(found.values) < 2:
            raise UserError(f"{self._bench.device}: latency was not compared: {found.problem or 'too few runs'}")
        ratios: Floats = np.exp(found.values)
        interval = run_interval(ratios, 0.025)
        return Relative(interval.estimate, interval.low, interval.high)


def float_sibling(target: str) -> str:
    """Return the name of the FP32 target beside an INT8 one; an empty string when there is none."""
    from seatrial_targets import registry

    name = target.replace("int8-dynamic", "int8").replace("int8", "fp32")
    return name if name != target and name in registry.names() else ""
