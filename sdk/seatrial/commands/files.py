"""The files that commands leave: where they go, and that they can be written, before an hour of measuring."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial_targets.errors import HarnessError, SeatrialError, UserError

if TYPE_CHECKING:
    from seatrial_ci.gate.verdict import PolicyVerdict
    from seatrial_ci.judgement import Judgement, Subject
    from seatrial_ci.report.evidence import Past

REPORTS = ("junit", "markdown", "html", "verdict_json", "comment", "openmetrics", "bmf", "benchmark_json", "badge")
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


def write_reports(
    subjects: Sequence[Subject],
    paths: Mapping[str, Path | None],
    policy: PolicyVerdict | None = None,
    history: Mapping[str, Past] | None = None,
) -> dict[str, str]:
    """Write those reports of ``paths`` (kind to path) that have a path. Return what was written.

    ``history`` is what came before each trial; see `past.pasts`. One that can't be written does not keep the others
    from being: its error is raised after them.
    """
    from seatrial_targets.atomic import write_atomic

    written, errors = {}, []
    for kind, path in paths.items():
        if path is None:
            continue
        try:
            write_atomic(path, _content(kind, subjects, policy, history))
            written[kind] = str(path)
        except (SeatrialError, OSError) as error:
            errors.append(error if isinstance(error, SeatrialError) else HarnessError(f"{path}: {error.strerror}"))
    if errors:
        raise errors[0]
    return written


def _content(
    kind: str, subjects: Sequence[Subject], policy: PolicyVerdict | None, history: Mapping[str, Past] | None
) -> str:
    from seatrial_ci import report
    from seatrial_ci.judgement import Judgement
    from seatrial_ci.report import exchange, github

    judgements = [each for each in subjects if isinstance(each, Judgement)]
    made: dict[str, Callable[[], str]] = {
        "junit": lambda: report.junit(judgements),
        "markdown": lambda: report.summary(subjects, policy, history=history),
        "html": lambda: report.html(subjects, policy, history),
        "verdict_json": lambda: report.document(judgements, policy),
        "comment": lambda: github.comment(judgements, policy),
        "openmetrics": lambda: exchange.openmetrics(judgements),
        "bmf": lambda: exchange.bencher(judgements),
        "benchmark_json": lambda: exchange.benchmark_json(judgements),
        "badge": lambda: exchange.badge(judgements, policy),
    }
    return made[kind]()


def tell_github(judgements: Sequence[Judgement], policy: PolicyVerdict | None = None) -> None:
    """In a step of GitHub Actions: append the step summary, and print annotations to stderr, which is read, too."""
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return  # without the package of reports, which takes a tenth of the time of a verdict
    from seatrial_ci.report import github

    github.write_summary(judgements, policy, os.environ)
    for line in github.workflow_commands(judgements):
        print(line, file=sys.stderr)


def log_tracking(judgements: Sequence[Judgement], uri: str | None) -> None:
    """Log to MLflow where that was asked for."""
    if uri:
        from seatrial_ci.report.tracking import log_mlflow

        log_mlflow(judgements, uri)
