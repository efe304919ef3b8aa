"""seatrial bench: measure bundles on a device, one trial each; judge nothing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial_targets.errors import UserError

from .command import Command
from .figures import say_summaries
from .files import prepare, trial_file
from .options import FOLDER, device_option, plan_changes, plan_options
from .progress import shown
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_runner.records import Trial

Measured = list[tuple[Path, "Trial"]]


@click.command(cls=Command)
@click.argument("bundles", nargs=-1, required=True, type=FOLDER)
@device_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the trial goes; a folder for several bundles.  [default: trials/BUNDLE@DEVICE.json]",
)
@click.option("--resume", is_flag=True, help="Go on with a trial that was cut short.")
@plan_options
@click.pass_obj
def bench(
    screen: Screen,
    /,
    bundles: tuple[Path, ...],
    device: str,
    devices_file: Path | None,
    out: Path | None,
    resume: bool,
    **plan: Any,
) -> None:
    """Measure BUNDLES on a device: latency, cold load, peak memory, energy where there is a meter."""
    files = _files(bundles, device, out)
    if resume and len(files) > 1:
        raise UserError("--resume goes on with one trial; name the one bundle whose trial was cut short")
    prepare(files)
    measured: Measured = []
    try:
        _measure(measured, bundles, files, device, devices_file, resume, plan_changes(**plan))
    except BaseException:
        _say(screen, measured)
        raise
    screen.document({"trials": [_json(file, trial) for file, trial in measured]})
    _say(screen, measured)


def _measure(
    measured: Measured,
    bundles: Sequence[Path],
    files: Sequence[Path],
    device: str,
    inventory: Path | None,
    resume: bool,
    plan: dict[str, Any],
) -> None:
    from seatrial import api

    with shown() as on_event:
        for bundle, file in zip(bundles, files, strict=True):
            trial = api.bench(
                bundle, device, inventory=inventory, plan=plan, out=file, resume=resume, on_event=on_event
            )
            measured.append((file, trial))


def _files(bundles: Sequence[Path], device: str, out: Path | None) -> list[Path]:
    if out is None:
        return [trial_file(bundle, device) for bundle in bundles]
    if len(bundles) == 1:
        return [out / trial_file(bundles[0], device).name if out.is_dir() else out]
    return [out / trial_file(bundle, device).name for bundle in bundles]


def _json(file: Path, trial: Trial) -> dict[str, Any]:
    from seatrial_ci.summary import summarise

    summary = json.loads(summarise(trial).model_dump_json(by_alias=True))
    return {"file": str(file), "id": trial.id, "status": trial.status, "summary": summary}


def _say(screen: Screen, measured: Measured) -> None:
    if screen.as_json or not measured:
        return
    from seatrial_ci.summary import summarise

    say_summaries(screen, [summarise(trial) for _, trial in measured])
    for text in dict.fromkeys(note for _, trial in measured for note in trial.notes):
        screen.line(f"note: {text}")
    for file, _ in measured:
        screen.line(f"trial: {file}")
