"""A policy over many models and devices, as functions: measure and judge, or judge what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial_targets.errors import BundleError, UserError

from .version import __version__

if TYPE_CHECKING:
    from seatrial_ci.gate.verdict import PolicyVerdict
    from seatrial_ci.history import History
    from seatrial_ci.judgement import Judgement
    from seatrial_ci.policy import Cell, Evidence, Policy
    from seatrial_ci.policy.live import Campaign
    from seatrial_runner.bundle import Bundle
    from seatrial_runner.plan import Event
    from seatrial_runner.records import BundleName, Trial

OUT = Path("trials")


@dataclass(frozen=True)
class PolicyResult:
    """The verdict of a policy and, per cell, what it rests on; ``confirmations`` are the trials of fresh pairs."""

    verdict: PolicyVerdict
    judgements: tuple[Judgement, ...]
    confirmations: tuple[Trial, ...] = ()


def gate_policy(
    policy: Path | str,
    *,
    inventory: Path | None = None,
    baselines: str | Path | None = None,
    history: History | None = None,
    plan: Mapping[str, Any] | None = None,
    out: Path | None = None,
    resume: bool = False,
    on_event: Callable[[Event], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> PolicyResult:
    """Measure every model on every device of a policy file (gate.yaml) and judge them together.

    Trials are kept in ``out``, by default trials/NAME of the policy. ``baselines`` is the place of the store in which
    references such as ``branch:main`` are looked up; ``history`` and ``tell`` are as for `seatrial.gate`. Everything
    that can be known to be wrong is said before anything is measured: raises ConfigError, BundleError,
    UnknownNameError, UserError.
    """
    from seatrial_ci.policy.live import measure_policy

    campaign = _campaign(policy, inventory, baselines, plan, out, resume, on_event, history)
    campaign = replace(campaign, tell=tell or campaign.tell)
    return _result(campaign.policy, campaign.cells, measure_policy(campaign))


def _campaign(
    policy: Path | str,
    inventory: Path | None,
    baselines: str | Path | None,
    plan: Mapping[str, Any] | None,
    out: Path | None,
    resume: bool,
    on_event: Callable[[Event], None] | None,
    history: History | None = None,
) -> Campaign:
    """Read and check all that can be checked without a device."""
    from seatrial_ci.policy.live import Campaign
    from seatrial_runner.plan import quiet
    from seatrial_targets import inventory as devices

    wanted, cells = read_policy(policy, inventory)
    opened: dict[tuple[str, str], dict[BundleName, Bundle]] = {}  # each is verified once, however many devices
    for cell in cells:
        if (cell.candidate, cell.baseline) not in opened:
            opened[cell.candidate, cell.baseline] = open_bundles(cell, baselines)
    bundles = {cell.name: opened[cell.candidate, cell.baseline] for cell in cells}
    notes = {cell.name: _checked(wanted, cell, bundles[cell.name], len(cells), history) for cell in cells}
    campaign = Campaign(
        policy=wanted,
        cells=cells,
        bundles=bundles,
        notes=notes,
        inventory=devices.load(inventory),
        out=out or OUT / wanted.name,
        changes=dict(plan or {}),
        resume=resume,
        on_event=on_event or quiet,
        version=__version__,
    )
    for cell in cells:
        campaign.plan(cell)
    return campaign


def _checked(
    policy: Policy, cell: Cell, bundles: Mapping[BundleName, Bundle], cells: int, history: History | None
) -> tuple[str, ...]:
    """Return what a cell's verdict must note. Raises UserError, which names the cell, for what can't be answered."""
    from seatrial_ci.gate.before import Known, check_before, look_up
    from seatrial_ci.policy.judge import screening

    sides = bundles["candidate"], bundles.get("baseline")
    try:
        known = look_up(history, *sides, cell.device) if history else Known()
        return check_before(*sides, policy.budgets(), screening(policy, cells), known)
    except UserError as error:
        raise UserError(f"{cell.model} on {cell.device}: {error}") from None


def judge_policy_files(policy: Path | str, trials: Sequence[Path], *, inventory: Path | None = None) -> PolicyResult:
    """Judge recorded trials (files, or folders of them) by a policy file, without a device.

    A cell of the policy that has no trial among them is INVALID. Raises UserError for files that are no trials.
    """
    from seatrial_ci.policy.live import evidence_in

    wanted, cells = read_policy(policy, inventory)
    return _result(wanted, cells, evidence_in(trials, cells, {cell.name: _bundle_name(cell) for cell in cells}))


class Planned(NamedTuple):
    """What a cell will take: runs before the first look, and at most."""

    model: str
    device: str
    target: str
    baseline: str
    first: int
    most: int


def planned(
    policy: Path | str,
    *,
    inventory: Path | None = None,
    baselines: str | Path | None = None,
    plan: Mapping[str, Any] | None = None,
) -> tuple[Planned, ...]:
    """Return what `gate_policy` would measure; checks all that it checks, and touches no device."""
    campaign = _campaign(policy, inventory, baselines, plan, None, False, None)
    return tuple(_planned(campaign, cell) for cell in campaign.cells)


def _planned(campaign: Campaign, cell: Cell) -> Planned:
    from seatrial_ci.policy.judge import screening

    plan, settings = campaign.plan(cell), screening(campaign.policy, len(campaign.cells))
    bundles = len(campaign.bundles[cell.name])
    pairs = campaign.policy.budgets().regression is not None and bundles == 2
    start = (plan.solo_runs + plan.memory_runs + plan.energy_runs) * bundles
    most = (max(plan.solo_runs, settings.solo_looks[-1]) * 3) * bundles
    first_pairs, most_pairs = (settings.looks[0], settings.looks[-1]) if pairs else (0, 0)
    target = campaign.bundles[cell.name]["candidate"].manifest.target  # not always that of the device
    return Planned(cell.model, cell.device, target, cell.baseline, start + first_pairs, most + most_pairs)


def read_policy(policy: Path | str, inventory: Path | None = None) -> tuple[Policy, tuple[Cell, ...]]:
    """Return a policy and its cells. Raises ConfigError with file, line and column; UnknownNameError for a device."""
    from seatrial_ci.policy import Policy, cells_of
    from seatrial_targets import inventory as devices
    from seatrial_targets.located import load

    wanted = load(Path(policy), Policy)
    return wanted, cells_of(wanted, devices.load(inventory))


def open_bundles(cell: Cell, baselines: str | Path | None = None) -> dict[BundleName, Bundle]:
    """Return the verified bundles of a cell. Raises BundleError, UnknownNameError, UserError, which name the cell."""
    from .pairing import open_pair

    try:
        return open_pair(cell.candidate, cell.baseline, baselines)
    except BundleError as error:
        raise BundleError(f"{cell.model} on {cell.device}: {error}") from None
    except UserError as error:
        raise UserError(f"{cell.model} on {cell.device}: {error}") from None


def _result(policy: Policy, cells: tuple[Cell, ...], found: dict[str, Evidence]) -> PolicyResult:
    from seatrial_ci.judgement import Judgement
    from seatrial_ci.policy import Evidence, judge_policy

    verdict = judge_policy(policy, cells, found)
    evidence = [found.get(cell.name, Evidence()) for cell in cells]
    pairs = zip(verdict.verdicts, evidence, strict=True)
    fresh = tuple(each.confirmation for each in evidence if each.confirmation is not None)
    return PolicyResult(verdict, tuple(Judgement(said, each.trial) for said, each in pairs), fresh)


def _bundle_name(cell: Cell) -> str:
    return Path(cell.candidate).name.removesuffix(f".{cell.target}")
