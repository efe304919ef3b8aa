"""The files that commands leave: where they go, and that they can be written, before an hour of measuring."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial_targets.errors import UserError

if TYPE_CHECKING:
    from seatrial_ci.gate import Verdict
    from seatrial_runner.records import Trial

REPORTS = ("junit", "markdown", "html", "verdict_json")
TRIALS = Path("trials")


def trial_file(bundle: Path, device: str) -> Path:
    """Return where a trial is kept when the user names no file: the same place for the same command."""
    name = bundle.name or bundle.resolve().name
    return TRIALS / f"{re.sub(r'[^A-Za-z0-9._@-]', '_', f'{name}@{device}')}.json"


def prepare(paths: Iterable[Path | None]) -> None:
    """Make the folders of ``paths``. Raises UserError for the first that can't be written or is named twice."""
    seen: set[Path] = set()
    for path in paths:
        if path is None:
            continue
        if path.resolve() in seen:
            raise UserError(f"{path}: is named for two files; give each its own name")
        seen.add(path.resolve())
        _prepare(path)


def prepare_reports(paths: Mapping[str, Path | None]) -> None:
    """Raise UserError for a report that could not be made, before anything is measured."""
    if paths.get("html") is not None and importlib.util.find_spec("jinja2") is None:
        raise UserError("--html needs jinja2, which is not installed; run: pip install 'seatrial[report]'")


def _prepare(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: its folder can't be made: {error.strerror}; choose another place") from error
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file in it")
    if not os.access(path.parent, os.W_OK):
        raise UserError(f"{path}: its folder is not writable; choose another place")


def write_reports(trial: Trial, verdict: Verdict, paths: Mapping[str, Path | None]) -> dict[str, str]:
    """Write those reports of ``paths`` (kind to path) that have a path. Return what was written."""
    from seatrial_ci import report
    from seatrial_targets.atomic import write_atomic

    made = {"junit": report.junit, "markdown": report.markdown, "html": report.html, "verdict_json": report.as_json}
    wanted = {kind: path for kind, path in paths.items() if path is not None}
    for kind, path in wanted.items():
        write_atomic(path, made[kind](verdict, trial))
    return {kind: str(path) for kind, path in wanted.items()}
