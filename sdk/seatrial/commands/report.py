"""seatrial report: judge recorded trials and write reports of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import Command
from .files import log_tracking, prepare, prepare_reports, write_reports
from .options import FILE, report_options
from .past import pasts
from .screen import Screen
from .verdicts import say_verdict, verdict_document

if TYPE_CHECKING:
    from seatrial_ci.judgement import Judgement


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
    tracking = paths.pop("mlflow")
    prepare(paths.values())
    prepare_reports(paths)
    judgements = [_judged(trial, budgets) for trial in dict.fromkeys(trials)]
    before = None if no_history else pasts(judgements, history)
    written = write_reports(judgements, paths, history=before)
    log_tracking(judgements, str(tracking) if tracking else None)
    _tell(screen, judgements, trials, written)


def _judged(path: Path, budgets: Path | None) -> Judgement:
    from seatrial import api
    from seatrial_ci.judgement import Judgement

    trial, verdict = api.judge_file(path, budgets)
    return Judgement(verdict, trial)


def _tell(screen: Screen, judgements: list[Judgement], trials: tuple[Path, ...], written: dict[str, str]) -> None:
    found = [
        (each.trial, each.verdict, {"trial": str(path), **written})
        for each, path in zip(judgements, dict.fromkeys(trials), strict=True)
        if each.trial is not None
    ]
    documents = [verdict_document(trial, verdict, files) for trial, verdict, files in found]
    screen.document(documents[0] if len(documents) == 1 else documents)
    for trial, verdict, files in found:
        say_verdict(screen, trial, verdict, files)
