"""A history rebuilt from the files that gates left: trials, and the verdicts that lie beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from seatrial_ci.gate.judge import judge
from seatrial_ci.gate.load import load_trial
from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.verdict import VERDICT_SCHEMA, Verdict
from seatrial_runner.records import Trial
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import UserError

if TYPE_CHECKING:
    from seatrial_ci.history.store import History


@dataclass
class Rebuilt:
    """How many trials were added or already known, how many verdicts there were, and which files were no trials."""

    added: int = 0
    known: int = 0
    verdicts: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def rebuild(history: History, paths: Sequence[Path], labels: Mapping[str, str]) -> Rebuilt:
    """Add the trials in ``paths`` (files, or folders that are searched) to ``history``.

    A file that is named and is no trial is an error; one that was merely found in a folder is skipped, with the
    reason. Raises UserError for that, and for a path that is not there.
    """
    done = Rebuilt()
    trials: list[Trial] = []
    verdicts: dict[str, list[Verdict]] = {}
    for path, named in _files(paths):
        said = list(_in(_document(path)))
        for verdict in said:
            verdicts.setdefault(verdict.trial_id, []).append(verdict)
        if not said:
            trials += _trial(path, named, done)
    for trial in trials:
        _add(history, trial, verdicts.get(trial.id) or _judged(trial), labels, done)
    return done


def _trial(path: Path, named: bool, done: Rebuilt) -> list[Trial]:
    try:
        return [load_trial(path)]
    except UserError as error:
        if named:
            raise
        done.skipped[str(path)] = str(error).removeprefix(f"{path}: ").splitlines()[0]
        return []


def _add(history: History, trial: Trial, verdicts: Sequence[Verdict], labels: Mapping[str, str], done: Rebuilt) -> None:
    added = history.add(trial, labels=labels)
    done.added, done.known = done.added + added, done.known + (not added)
    for verdict in verdicts:
        history.add(trial, verdict)
        done.verdicts += 1


def _files(paths: Sequence[Path]) -> Iterator[tuple[Path, bool]]:
    """Yield each JSON file, and whether it was named itself."""
    for path in paths:
        if path.is_dir():
            yield from ((each, False) for each in sorted(path.rglob("*.json")))
        else:
            yield path, True


def _in(document: Any) -> Iterator[Verdict]:
    """Yield the verdicts in a document: a single one, those of a policy, or of a report."""
    if isinstance(document, list):
        for each in document:
            yield from _in(each)
    elif isinstance(document, dict) and document.get("schema") == VERDICT_SCHEMA:
        try:
            verdict = Verdict.model_validate(document)
        except ValidationError:
            return
        if verdict.trial_id:
            yield verdict
    elif isinstance(document, dict) and not str(document.get("schema", "")).startswith("seatrial.trial/"):
        for each in document.values():
            yield from _in(each)


def _judged(trial: Trial) -> list[Verdict]:
    """Judge a trial by what it was measured for; one of a policy has its verdict only in the policy's."""
    if "policy" in trial.settings or "budgets" not in trial.settings:
        return []
    try:
        limits = Budgets.model_validate(trial.settings["budgets"])
        return [judge(trial, limits, GateSettings.model_validate(trial.settings.get("gate", {})))]
    except (ValidationError, UserError):
        return []


def _document(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
