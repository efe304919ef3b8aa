"""Measure the cells of a policy: screen each, then measure those anew that stood out. Each trial is a file."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from seatrial_ci.gate.forecast import duration
from seatrial_ci.gate.live import Tell, measure_until_decided, silent
from seatrial_ci.gate.load import load_trial
from seatrial_ci.gate.plan import enough
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.policy.cells import Cell
from seatrial_ci.policy.judge import Evidence, confirming, confirming_budgets, flagged_cells, screening
from seatrial_ci.policy.schema import Policy
from seatrial_runner.bundle import Bundle
from seatrial_runner.plan import Event, OnEvent, Plan
from seatrial_runner.records import BundleName, Trial
from seatrial_runner.session import profile_of
from seatrial_runner.trial import RunFailedError, open_trial
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import CancelledError, SeatrialError, UserError
from seatrial_targets.inventory import Inventory

SCREEN, CONFIRM = "screen", "confirm"
VERDICT = "verdict.json"  # beside the trials of a policy


@dataclass(frozen=True)
class Campaign:
    """What all cells of one measurement share."""

    policy: Policy
    cells: tuple[Cell, ...]
    bundles: Mapping[str, Mapping[BundleName, Bundle]]  # by the cell's name
    inventory: Inventory
    out: Path
    changes: Mapping[str, Any]
    resume: bool
    on_event: OnEvent
    version: str
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by the cell's name, for its verdict
    tell: Tell = silent

    def plan(self, cell: Cell) -> Plan:
        """Return how a cell is measured: what its target says, what the user changed, what the budgets need."""
        bundles = self.bundles[cell.name]
        plan = Plan.for_profile(profile_of(bundles["candidate"])).but(comparison=self.policy.comparison)
        plan = plan.but(**dict(self.changes))
        return enough(plan, self.policy.budgets(), self.changes)

    def path(self, cell: Cell, stage: str) -> Path:
        """Return where the trial of a stage lies."""
        return self.out / (f"{cell.name}.json" if stage == SCREEN else f"{cell.name}.{stage}.json")


def measure_policy(campaign: Campaign) -> dict[str, Evidence]:
    """Measure all cells, one after the other, and return the evidence by the cell's name.

    A cell whose device fails is left out with the reason, the others go on. With ``resume`` finished trials of the
    same bundles are taken as they are. Raises CancelledError (what was finished is kept) and UserError.
    """
    settings, budgets = screening(campaign.policy, len(campaign.cells)), campaign.policy.budgets()
    found: dict[str, Evidence] = {}
    began = time.monotonic()
    for number, cell in enumerate(campaign.cells, 1):
        found[cell.name] = _measured(campaign, cell, SCREEN, budgets, settings, number)
        _tell_left(campaign, number, time.monotonic() - began)
    flagged = flagged_cells(campaign.policy, campaign.cells, found)
    for cell in (cell for cell in campaign.cells if cell.name in flagged):
        again = confirming(campaign.policy, len(campaign.cells), len(flagged))
        fresh = _measured(campaign, cell, CONFIRM, confirming_budgets(campaign.policy), again, 0)
        found[cell.name] = replace(found[cell.name], confirmation=fresh.trial, missing=fresh.missing)
    return found


def _tell_left(campaign: Campaign, done: int, seconds: float) -> None:
    left = len(campaign.cells) - done
    if left:
        campaign.tell(f"{done} of {len(campaign.cells)} cells measured; about {duration(seconds / done * left)} left")


def evidence_in(folders: Sequence[Path], cells: Sequence[Cell], models: Mapping[str, str]) -> dict[str, Evidence]:
    """Return the evidence kept in ``folders`` (or files): trials of a policy, or others that fit a cell.

    ``models`` maps a cell's name to that of its candidate bundle. Raises UserError for a file that is damaged, or two
    trials of one cell.
    """
    found: dict[str, Evidence] = {}
    for path in _files(folders):
        trial = load_trial(path)
        cell, stage = _belongs(trial, cells, models)
        if cell is None:
            continue
        evidence = found.get(cell, Evidence())
        if (evidence.trial if stage == SCREEN else evidence.confirmation) is not None:
            raise UserError(f"{path}: is a second trial of {cell}; keep one of them in the folder")
        fresh = replace(evidence, trial=trial) if stage == SCREEN else replace(evidence, confirmation=trial)
        found[cell] = fresh
    return found


def _files(folders: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for place in folders:
        found += (
            sorted(each for each in place.glob("*.json") if each.name != "verdict.json") if place.is_dir() else [place]
        )
    if not found:
        raise UserError(f"{', '.join(map(str, folders))}: there is no trial; name the folder that the gate wrote to")
    return found


def _belongs(trial: Trial, cells: Sequence[Cell], models: Mapping[str, str]) -> tuple[str | None, str]:
    said = trial.settings.get("policy")
    if isinstance(said, dict) and isinstance(said.get("cell"), str):
        name = said["cell"]
        return (name if name in {cell.name for cell in cells} else None), str(said.get("stage", SCREEN))
    bundle = trial.bundles["candidate"]
    is_of = (trial.device.name, bundle.target, bundle.name)
    fits = (cell for cell in cells if (cell.device, cell.target, models.get(cell.name, cell.model)) == is_of)
    return next((cell.name for cell in fits), None), SCREEN


def _measured(
    campaign: Campaign, cell: Cell, stage: str, budgets: Budgets, settings: GateSettings, number: int
) -> Evidence:
    path, bundles = campaign.path(cell, stage), campaign.bundles[cell.name]
    if campaign.resume and (kept := _finished(path, bundles)):
        return Evidence(kept)
    try:
        return Evidence(_trial(campaign, cell, stage, budgets, settings, number))
    except (CancelledError, KeyboardInterrupt):
        raise
    except RunFailedError as error:
        return Evidence(_broken(path), missing=str(error))
    except UserError:
        raise
    except SeatrialError as error:
        return Evidence(_broken(path), missing=str(error))


def _trial(campaign: Campaign, cell: Cell, stage: str, budgets: Budgets, settings: GateSettings, number: int) -> Trial:
    path = campaign.path(cell, stage)
    plan = campaign.plan(cell)
    if stage == CONFIRM:  # the comparison alone; three solo runs are what it is checked against
        plan = plan.but(memory_runs=0, energy_runs=0, solo_runs=3)
    with open_trial(
        campaign.inventory.get(cell.device),
        campaign.bundles[cell.name],
        plan,
        out=path,
        resume=campaign.resume and path.with_name(f"{path.name}.journal").exists(),
        on_event=_named(campaign, cell, number),
        version=campaign.version,
        extra_settings={
            "budgets": json.loads(budgets.model_dump_json(by_alias=True, exclude_unset=True)),
            "gate": GateSettings(alpha=settings.alpha, beta=settings.beta).model_dump(mode="json"),
            "policy": {"name": campaign.policy.name, "cell": cell.name, "stage": stage},
        },
    ) as runner:
        runner.note(campaign.notes.get(cell.name, ()))
        measure_until_decided(runner, budgets, settings, _told(campaign, cell, number))
    return runner.trial


def _finished(path: Path, bundles: Mapping[BundleName, Bundle]) -> Trial | None:
    """Return the finished trial at ``path``, if it is one of these very bundles."""
    if not path.is_file():
        return None
    trial = load_trial(path)
    same = {role: info.digest for role, info in trial.bundles.items()} == {r: b.digest for r, b in bundles.items()}
    return trial if same and trial.status == "ok" else None


def _broken(path: Path) -> Trial | None:
    """Return what a trial that broke off has left: its verdict says how it ended."""
    if not path.is_file():
        return None
    trial = load_trial(path)
    return trial if trial.status != "ok" else None


def _of(campaign: Campaign, cell: Cell, number: int) -> str:
    return f"{cell.name} ({f'{number} of {len(campaign.cells)}' if number else 'again'})"


def _told(campaign: Campaign, cell: Cell, number: int) -> Tell:
    of = _of(campaign, cell, number)
    return silent if campaign.tell is silent else lambda text: campaign.tell(f"{of}: {text}")


def _named(campaign: Campaign, cell: Cell, number: int) -> OnEvent:
    of = _of(campaign, cell, number)

    def say(event: Event) -> None:
        campaign.on_event(replace(event, stage=f"{of}: {event.stage}"))

    return say
