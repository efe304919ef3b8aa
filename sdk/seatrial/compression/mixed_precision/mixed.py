"""The step `mixed_precision`: sensitivity, cost, a curve of real variants, and the assignment that meets the target."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import UserError

from ..quantization.ptq import QuantizeStep
from ..state import CompressionState
from ..step import Outcome, Step
from .cost import Comparison
from .search import FLOAT_TO_INT8, HALF_TO_INT8, LEAST_SAMPLES, Search, assignment, plain
from .settings import MixedPrecision

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile


class MixedPrecisionStep(Step[MixedPrecision]):
    """Carries `MixedPrecision` out."""

    def check(self, state: CompressionState) -> None:
        """Find the layers that stay float in any case; a device for measured costs must be there."""
        self._plain().check(state)
        if self.settings.cost == "measured" and not state.bench:
            raise UserError("cost: measured needs a device; give --device NAME, or write cost: estimated")

    def refused_by(self, target: TargetProfile) -> str:
        """As for `quantize`."""
        return self._plain().refused_by(target)

    def apply(self, state: CompressionState) -> Outcome:
        """Replace the module by the chosen assignment. Raises UserError when no assignment meets the target."""
        search = Search(self.settings, state)
        measured = state.bench is not None and self.settings.cost != "estimated"
        if measured:
            assert state.bench is not None
            with Comparison(state, state.bench, self.settings.runs) as comparison:
                details = search.run(comparison)
        else:
            details = search.run(None)
        chosen = assignment(details["chosen"], details["chosen_half"])
        state.module, state.form = search.variant(chosen, everything=True), "quantized"
        return Outcome(tuple(_notes(details)), details)

    def _plain(self) -> QuantizeStep:
        return QuantizeStep(plain(self.settings))


def _notes(details: dict[str, Any]) -> list[str]:
    chosen, half = details["chosen"], details["chosen_half"]
    what = [f"{len(chosen)} layers stay in float: {', '.join(chosen)}"] if chosen else []
    what += [f"{len(half)} layers in float16: {', '.join(half)}"] if half else []
    notes = [f"{'; '.join(what) or 'all layers as INT8'} ({details['why']})"]
    if details["cost"] == "estimated":
        notes.append(
            f"latency is an ESTIMATE from multiply-accumulates (float takes {FLOAT_TO_INT8:g} times as long, "
            f"float16 {HALF_TO_INT8:g} times); "
            "give --device to have it measured"
        )
    if not details["set_aside"]:
        notes.append(f"fewer than {LEAST_SAMPLES} calibration samples: the same ones set the ranges and judge them")
    reference = details["float_latency"]
    slower = [each for each in details["points"] if reference and each["latency"] >= reference]
    if slower:
        count = len(slower[0]["float_layers"]) + len(slower[0]["half_layers"])
        notes.append(f"with {count} layers in float the model is slower than all of it in float: not taken")
    return notes
