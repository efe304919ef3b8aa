"""What can be known before anything is measured: a question that can't be answered is refused now, not in an hour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from seatrial_ci.gate.calibration import calibration_problems, insensitive
from seatrial_ci.gate.judge import compares
from seatrial_ci.gate.likeness import unlike_bundles
from seatrial_ci.gate.plan import check_stated
from seatrial_ci.gate.settings import GateSettings
from seatrial_runner.records import Trial
from seatrial_runner.trial import bundle_info
from seatrial_targets.errors import UserError

if TYPE_CHECKING:
    from seatrial_ci.history import History
    from seatrial_runner.bundle import Bundle
    from seatrial_targets.budgets import Budgets


@dataclass(frozen=True)
class Known:
    """What earlier trials say: the A/A trial of this model on this device, and why the baseline can't be one."""

    calibration: Trial | None = None
    refusal: str = ""


def look_up(history: History, candidate: Bundle, baseline: Bundle | None, device: str) -> Known:
    """Return what ``history`` knows of a question. Raises HarnessError when the history can't be read."""
    manifest = candidate.manifest
    found = history.calibrations(device, manifest.name, manifest.target)
    calibration = next((trial for trial in found if not calibration_problems(trial)), None)
    return Known(calibration, _refusal(history, baseline, device) if baseline else "")


def check_before(
    candidate: Bundle,
    baseline: Bundle | None,
    budgets: Budgets,
    settings: GateSettings,
    known: Known,
    *,
    evaluated: bool = False,
) -> tuple[str, ...]:
    """Raise UserError when what is asked can't be answered; return what the verdict must note.

    Refused are: limits on figures that the bundle does not state; a baseline that failed its own gate; unlike bundles,
    and margins that the calibration says can't be shown, unless ``settings`` let these two only warn. With
    ``evaluated`` the device will bring the accuracies, whatever the bundle states.
    """
    if not evaluated:
        check_stated(budgets, candidate)
    if known.refusal:
        raise UserError(known.refusal)
    if baseline is None or not compares(budgets):
        return ()
    if settings.unlike == "refuse":
        for text in unlike_bundles(bundle_info(candidate), bundle_info(baseline)):
            raise UserError(text)
    return _sensitivity(budgets, settings, known.calibration)


def _sensitivity(budgets: Budgets, settings: GateSettings, calibration: Trial | None) -> tuple[str, ...]:
    found = insensitive(calibration, budgets, settings) if calibration else ()
    if found and settings.below_mde == "refuse":
        raise UserError(f"{found[0]}; or measure all the same with --below-mde warn (in a policy `below_mde: warn`)")
    return found


def _refusal(history: History, baseline: Bundle, device: str) -> str:
    said = history.outcome_of(baseline.digest, device)
    if said is None or said[0] != "FAIL":
        return ""
    return (
        f"{baseline.path}: can't be a baseline: its own gate on {device} ended with FAIL (trial {said[1][:8]} in the "
        "history); choose one that passed"
    )
