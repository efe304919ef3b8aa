"""Read a trial file that may come from anywhere: another machine, another version, a broken disk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

import pydantic_core
from pydantic import ValidationError

from seatrial_runner.records import TRIAL_SCHEMA, Run, Trial
from seatrial_targets.errors import UserError

MOST_BYTES = 1 << 29  # a million runs' worth; more is not a trial file
MOST_PROBLEMS = 5


def load_trial(path: Path | str) -> Trial:
    """Return the trial kept in ``path`` (trial.json).

    Raises UserError, naming the file and the place in it, when it is missing, empty, truncated, not a trial, of a
    newer format, or holds what can't have been measured (NaN, negative times, runs of bundles it does not name).
    """
    path = Path(path)
    document = _parse(path, _read(path))
    _check_schema(path, document)
    try:
        trial = Trial.model_validate(document)
    except ValidationError as error:
        raise UserError(_problems(path, error)) from None
    _check_sense(path, trial)
    return trial


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            _refuse(path, "is a folder; name the trial.json in it")
        if path.stat().st_size > MOST_BYTES:
            _refuse(path, f"has more than {MOST_BYTES >> 20} MiB; this is not a trial file")
        return path.read_bytes()
    except OSError as error:
        _refuse(path, f"can't be read: {error.strerror or error}")


def _parse(path: Path, blob: bytes) -> dict[str, Any]:
    if not blob.strip():
        _refuse(path, "is empty; the trial that should have written it did not finish. Measure again")
    try:
        document = pydantic_core.from_json(blob, allow_inf_nan=True)
    except ValueError as error:
        if "EOF" in str(error):
            _refuse(path, f"is truncated ({error}); copy it again, or measure again")
        _refuse(path, f"is not JSON ({error}); give the trial.json that `seatrial bench` or `seatrial gate` wrote")
    except RecursionError:
        _refuse(path, "is nested too deeply; this is not a trial file")
    if not isinstance(document, dict):
        _refuse(
            path, f"holds a {type(document).__name__}, not a trial; give the trial.json that `seatrial bench` wrote"
        )
    return document


def _check_schema(path: Path, document: dict[str, Any]) -> None:
    schema = document.get("schema")
    if schema == TRIAL_SCHEMA:
        return
    if isinstance(schema, str) and re.fullmatch(r"seatrial\.trial/\d{1,6}", schema):
        _refuse(path, f"has the newer format {schema}, this Seatrial reads {TRIAL_SCHEMA}; upgrade Seatrial")
    said = f"its schema is {str(schema)[:60]!r}" if "schema" in document else "it has no key 'schema'"
    _refuse(path, f"is not a trial: {said}; give the trial.json that `seatrial bench` wrote")


def _problems(path: Path, error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False)
    lines = [f"{path}: {'.'.join(map(str, e['loc']))[:200]}: {e['msg'][:200]}" for e in found[:MOST_PROBLEMS]]
    if len(found) > MOST_PROBLEMS:
        lines.append(f"{path}: and {len(found) - MOST_PROBLEMS} more")
    return "\n".join([*lines, "The file was changed or damaged after it was written; measure again"])


def _check_sense(path: Path, trial: Trial) -> None:
    if "candidate" not in trial.bundles:
        _refuse(path, "names no candidate bundle")
    seen: set[int] = set()
    for run in trial.runs:
        if run.index in seen:
            _refuse(path, f"runs: two runs have the index {run.index}")
        seen.add(run.index)
        problem = _nonsense(trial, run)
        if problem:
            _refuse(path, f"runs: run {run.index} {problem}")


def _nonsense(trial: Trial, run: Run) -> str:
    """Why ``run`` can't be; empty if it can."""
    missing = set(run.arms.values()) - set(trial.bundles)
    if missing:
        return f"measured the {sorted(missing)[0]}, which the trial does not name"
    if not run.arms or (run.kind == "duet" and len(run.arms) != 2):
        return f"is a {run.kind} run of {len(run.arms)} arms"
    if run.first not in run.arms:
        return f"began with arm {run.first}, which it does not have"
    if run.counts and run.result and (run.kind in ("solo", "duet")) and set(run.arms) - set(run.result.arms):
        return "counts, but lacks the result of an arm"
    return ""


def _refuse(path: Path, why: str) -> NoReturn:
    raise UserError(f"{path}: {why}")
