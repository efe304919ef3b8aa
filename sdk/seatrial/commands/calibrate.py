"""seatrial calibrate: a bundle beside itself, so that what differs is the noise of the device."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .command import Command
from .files import TRIALS, prepare, trial_file
from .options import FILE, FOLDER, device_option, plan_changes, plan_options
from .progress import shown
from .remembering import Memory, memory_of, memory_options
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_ci.gate.calibration import Noise
    from seatrial_runner.records import Trial

MARGINS = (0.05, 0.02)


@click.command(
    cls=Command, epilog="Ends with 0 when the device is fit to compare on, else with 3: biased, drifting, throttled."
)
@click.argument("bundle", type=FOLDER)
@device_option
@click.option(
    "--pairs", type=click.IntRange(16, 10_000), default=32, show_default=True, metavar="N", help="Pairs to make."
)
@click.option("--comparison", type=click.Choice(("auto", "duet", "separate")), help="How pairs are made.")
@click.option("--out", type=FILE, metavar="FILE", help="Where the trial goes.  [default: trials/calibration/...]")
@click.option("--resume", is_flag=True, help="Go on with a calibration that was cut short.")
@memory_options
@plan_options
@click.pass_obj
def calibrate(
    screen: Screen,
    /,
    bundle: Path,
    device: str,
    devices_file: Path | None,
    pairs: int,
    comparison: str | None,
    out: Path | None,
    resume: bool,
    **rest: Any,
) -> int:
    """Measure BUNDLE beside itself (A/A): how noisy is the device, and what is the least slow-down that it shows?

    Gates on this device ask the history for it, and refuse a margin that can't be shown.
    """
    from seatrial import api

    memory = memory_of(rest)
    file = out or TRIALS / "calibration" / trial_file(bundle, device).name
    prepare([file])
    plan = plan_changes(**rest) | ({"comparison": comparison} if comparison else {})
    with shown() as on_event:
        trial = api.calibrate(
            bundle,
            device,
            pairs=pairs,
            inventory=devices_file,
            plan=plan,
            out=file,
            resume=resume,
            on_event=on_event,
        )
    _keep(screen, trial, memory)
    return _say(screen, trial, file)


def _keep(screen: Screen, trial: Trial, memory: Memory) -> None:
    memory.keep(screen, (), (trial,))


def _say(screen: Screen, trial: Trial, file: Path) -> int:
    from seatrial_ci.gate.calibration import calibration_problems, noises

    found, problems = noises(trial), calibration_problems(trial)
    screen.document(
        {
            "device": trial.device.name,
            "stamp": trial.device.stamp,
            "file": str(file),
            "problems": problems,
            "noise": [_json(each) for each in found],
        }
    )
    heads = ("metric", "by", "noise", "bias of A against A", "least seen", *(f"pairs for {m:+.0%}" for m in MARGINS))
    screen.table(heads, [_row(each) for each in found], title=f"A/A on {trial.device.name}", whole=3)
    for problem in problems:
        screen.line(f"INVALID: {problem}")
    if trial.device.stamp:
        screen.line(f"note: measured on {trial.device.stamp}; it says nothing about real hardware")
    screen.line(f"trial: {file}")
    return 3 if problems else 0


def _row(noise: Noise) -> tuple[str, ...]:
    from seatrial_ci.gate.settings import GateSettings
    from seatrial_ci.gate.wording import between, label, show
    from seatrial_ci.gate.wording import noise as noise_text

    low, high = math.expm1(noise.bias_low), math.expm1(noise.bias_high)
    bias = f"{show(math.expm1(noise.bias), 'relative')} ({between(low, high, 'relative')})"
    least = show(noise.mde(GateSettings(), 0.01), "ratio")
    spread = f"{noise_text(noise.sd)} (at most {noise_text(noise.sd_high)}, {noise.count})"
    return label(noise.metric), noise.method, spread, bias, least, *(_pairs(noise, margin) for margin in MARGINS)


def _pairs(noise: Noise, margin: float) -> str:
    if noise.method == "separate runs":
        return "-"
    from seatrial_ci.gate.settings import GateSettings
    from seatrial_targets.budgets import Regression

    return str(noise.pairs_for(GateSettings(), Regression(ignore=min(0.01, margin / 5), margin=margin)))


def _json(noise: Noise) -> dict[str, Any]:
    from dataclasses import asdict

    from seatrial_ci.gate.settings import GateSettings

    return {**asdict(noise), "mde": noise.mde(GateSettings(), 0.01)}
