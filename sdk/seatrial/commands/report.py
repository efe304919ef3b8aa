"""seatrial report: judge recorded trials and write reports of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial_targets.errors import UserError

from .command import Command
from .files import log_tracking, prepare, prepare_reports, write_reports
from .options import FILE, report_options
from .past import needs_past, pasts
from .screen import Screen
from .verdicts import measured_document, say_measured, say_verdict, verdict_document

if TYPE_CHECKING:
    from seatrial_ci.judgement import Subject

WITHOUT_VERDICT = ("html", "markdown")


@click.command(cls=Command)
@click.argument("trials", type=FILE, nargs=-1, required=True, metavar="TRIAL...")
@click.option("--budgets", type=FILE, metavar="FILE", help="Limits.  [default: those that they were measured for]")
@click.option("--history", metavar="URL", help="SQLAlchemy URL of the history.  [default: SQLite of the user]")
@click.option("--no-history", is_flag=True, help="Do not look for earlier trials.")
@report_options
@click.pass_obj
def report(
    screen: Screen,
    /,
    trials: tuple[Path, ...],
    budgets: Path | None,
    history: str | None,
    no_history: bool,
    **paths: Path | None,
) -> None:
    """Write reports of recorded trials; ends with 0 whatever the verdict, see `seatrial gate --from`.

    Several trials, of the variants of a model, say, stand beside each other in one report.
    """
    from seatrial_ci.judgement import Judgement

    tracking = paths.pop("mlflow")
    prepare(paths.values())
    prepare_reports(paths)
    subjects = [_subject(trial, budgets) for trial in dict.fromkeys(trials)]
    _require_verdicts(subjects, trials, [name for name, path in {**paths, "mlflow": tracking}.items() if path])
    before = pasts(subjects, history) if not no_history and needs_past(paths) else None
    written = write_reports(subjects, paths, history=before)
    log_tracking([each for each in subjects if isinstance(each, Judgement)], str(tracking) if tracking else None)
    _tell(screen, subjects, trials, written)


def _subject(path: Path, budgets: Path | None) -> Subject:
    """Judge a trial; one that was only measured, and of which nothing is asked now, has no verdict."""
    from seatrial import api
    from seatrial_ci.gate import load_trial
    from seatrial_ci.judgement import Judgement, Measured

    if budgets is None:
        recorded = load_trial(path)
        if "baseline" not in recorded.bundles and not recorded.settings.get("budgets"):
            return Measured(recorded)
    trial, verdict = api.judge_file(path, budgets)
    return Judgement(verdict, trial)


def _require_verdicts(subjects: Sequence[Subject], trials: Sequence[Path], asked: Sequence[str]) -> None:
    """Raise UserError for a report that is one of verdicts, where a trial has none."""
    from seatrial_ci.judgement import Measured

    without = [path for path, each in zip(dict.fromkeys(trials), subjects, strict=True) if isinstance(each, Measured)]
    wanted = [name for name in asked if name not in WITHOUT_VERDICT]
    if without and wanted:
        option = f"--{wanted[0].replace('_', '-')}"
        raise UserError(
            f"{without[0]}: nothing to judge, so {option} can't be written: give --budgets with at least one limit; "
            "--html and --markdown show what was measured"
        )


def _tell(screen: Screen, subjects: Sequence[Subject], trials: Sequence[Path], written: dict[str, str]) -> None:
    from seatrial_ci.judgement import Judgement

    documents: list[Any] = []
    for each, path in zip(subjects, dict.fromkeys(trials), strict=True):
        files = {"trial": str(path), **written}
        if isinstance(each, Judgement):
            if each.trial is not None:
                documents.append(verdict_document(each.trial, each.verdict, files))
                say_verdict(screen, each.trial, each.verdict, files)
        else:
            documents.append(measured_document(each.trial, files))
            say_measured(screen, each.trial, files)
    screen.document(documents[0] if len(documents) == 1 else documents)
