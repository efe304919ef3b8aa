"""seatrial report: judge a recorded trial and write reports of it."""

from __future__ import annotations

from pathlib import Path

import click

from .command import Command
from .files import log_tracking, prepare, prepare_reports, write_reports
from .options import FILE, report_options
from .screen import Screen
from .verdicts import say_verdict, verdict_document


@click.command(cls=Command)
@click.argument("trial", type=FILE)
@click.option("--budgets", type=FILE, metavar="FILE", help="Limits.  [default: those that it was measured for]")
@report_options
@click.pass_obj
def report(screen: Screen, /, trial: Path, budgets: Path | None, **paths: Path | None) -> None:
    """Write reports of the recorded TRIAL; ends with 0 whatever the verdict, see `seatrial gate --from`."""
    from seatrial import api
    from seatrial_ci.judgement import Judgement

    tracking = paths.pop("mlflow")
    prepare(paths.values())
    prepare_reports(paths)
    recorded, verdict = api.judge_file(trial, budgets)
    judgements = [Judgement(verdict, recorded)]
    files = {"trial": str(trial), **write_reports(judgements, paths)}
    log_tracking(judgements, str(tracking) if tracking else None)
    screen.document(verdict_document(recorded, verdict, files))
    say_verdict(screen, recorded, verdict, files)
