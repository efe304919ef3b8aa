"""seatrial bench: measure bundles on a device, one trial each; judge nothing."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial_targets.errors import UserError

from .command import Command
from .depth import say_depth
from .figures import say_summaries
from .files import prepare, trial_file
from .options import FOLDER, device_option, evaluate_option, plan_changes, plan_options
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
@click.option(
    "--record",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep what is said to the device and what it answers, to be replayed in tests; see docs/devices/jetson.md.",
)
@click.option(
    "--compute-units",
    type=click.Choice(["ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE", "each"]),
    help="Core ML: run on these instead of the target's; each: one trial on each of them.",
)
@evaluate_option
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
    record: Path | None,
    compute_units: str | None,
    evaluate: str | None,
    **plan: Any,
) -> None:
    """Measure BUNDLES on a device: latency, cold load, peak memory, energy where there is a meter."""
    units = _units(compute_units, bundles)
    bundles = tuple(bundle for bundle in bundles for _ in units)
    files = _with_units(_files(bundles, device, out), units)
    if resume and len(files) > 1:
        raise UserError("--resume goes on with one trial; name the one bundle whose trial was cut short")
    prepare(files)
    from seatrial_runner.transport.transcript import recording

    measured: Measured = []
    try:
        plans = [plan_changes(**plan) | ({"compute_units": unit} if unit else {}) for unit in units]
        with recording(record):
            _measure(measured, bundles, files, device, devices_file, resume, evaluate, plans)
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
    evaluate: str | None,
    plans: Sequence[dict[str, Any]],
) -> None:
    from seatrial import api

    with shown() as on_event:
        for bundle, file, plan in zip(bundles, files, itertools.cycle(plans), strict=False):
            trial = api.bench(
                bundle, device, inventory=inventory, plan=plan, out=file, resume=resume, evaluate=evaluate,
                on_event=on_event,
            )  # fmt: skip
            measured.append((file, trial))


def _files(bundles: Sequence[Path], device: str, out: Path | None) -> list[Path]:
    if out is None:
        return [trial_file(bundle, device) for bundle in bundles]
    if len(set(bundles)) == 1:
        return [out / trial_file(bundles[0], device).name if out.is_dir() else out] * len(bundles)
    return [out / trial_file(bundle, device).name for bundle in bundles]


def _units(asked: str | None, bundles: Sequence[Path]) -> tuple[str, ...]:
    """Return the compute units to measure on; "" is what the target asks for. Raises UserError where there are none."""
    if asked is None:
        return ("",)
    from seatrial_runner.bundle import Bundle
    from seatrial_runner.runtime.coreml.contract import COMPUTE_UNITS, RUNTIME

    for bundle in bundles:
        runtime = Bundle.open(bundle).manifest.runtime
        if runtime != RUNTIME:
            raise UserError(f"{bundle} is for {runtime}; --compute-units are those of Core ML")
    return COMPUTE_UNITS if asked == "each" else (asked,)


def _with_units(files: Sequence[Path], units: Sequence[str]) -> list[Path]:
    names = zip(files, itertools.cycle(units), strict=False)
    return [file.with_name(f"{file.stem}.{unit}{file.suffix}") if len(units) > 1 else file for file, unit in names]


def _json(file: Path, trial: Trial) -> dict[str, Any]:
    from seatrial_ci.summary import summarise

    summary = json.loads(summarise(trial).model_dump_json(by_alias=True))
    return {"file": str(file), "id": trial.id, "status": trial.status, "summary": summary}


def _say(screen: Screen, measured: Measured) -> None:
    if screen.as_json or not measured:
        return
    from seatrial_ci.summary import summarise

    say_summaries(screen, [summarise(trial) for _, trial in measured])
    for _, trial in measured:
        _say_units(screen, trial)
        say_depth(screen, trial)
    for text in dict.fromkeys(note for _, trial in measured for note in trial.notes):
        screen.line(f"note: {text}")
    for file, _ in measured:
        screen.line(f"trial: {file}")


def _say_units(screen: Screen, trial: Trial) -> None:
    """Say on which units Core ML computed, and what it cost to get there."""
    solo = next((run.result for run in trial.of("solo") if run.result and run.result.apple), None)
    if solo is None or solo.apple is None:
        return
    arm = solo.arms["a"]
    compiled = f"compiled in {arm.compile_ns / 1e6:.0f} ms, " if arm.compile_ns is not None else ""
    units = trial.settings.get("compute_units") or "the target's units"
    said = f"{units}: {compiled}loaded in {arm.session_ns / 1e6:.0f} ms, first prediction {arm.first_ns / 1e6:.1f} ms"
    placed = (solo.apple.placement or {}).get("a", ())
    counts = Counter(operation.unit for operation in placed)
    where = ", ".join(f"{count} on {unit}" for unit, count in counts.most_common())
    screen.line(f"{said}; operations: {where or solo.apple.placement_problem or 'not told'}")
