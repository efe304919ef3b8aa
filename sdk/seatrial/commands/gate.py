"""seatrial gate: measure a candidate beside its baseline until the question is decided, and say the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial_targets.errors import SeatrialError, UserError

from .command import Command
from .files import REPORTS, log_tracking, prepare, prepare_reports, tell_github, trial_file, write_reports
from .options import FILE, FOLDER, complete_devices, devices_file, looks, plan_changes, plan_options, report_options
from .past import pasts
from .progress import shown
from .screen import Screen
from .verdicts import say_verdict, verdict_document

if TYPE_CHECKING:
    from seatrial_ci.gate import GateSettings, Verdict
    from seatrial_runner.records import Trial


@dataclass(frozen=True)
class Question:
    """What the gate is asked: a candidate on a device, or a recorded trial (``recorded``)."""

    candidate: Path | None
    baseline: Path | None
    device: str | None
    devices_file: Path | None
    budgets: Path | None
    recorded: Path | None
    out: Path | None
    resume: bool

    def check(self) -> None:
        """Raise UserError when the options contradict each other."""
        if self.recorded is None:
            self._check_live()
            return
        given = {"CANDIDATE": self.candidate, "--baseline": self.baseline, "--device": self.device, "--out": self.out}
        extra = [name for name, value in given.items() if value] + (["--resume"] if self.resume else [])
        if extra:
            raise UserError(f"--from judges a recorded trial, it measures nothing; leave {', '.join(extra)} out")

    def _check_live(self) -> None:
        if self.candidate is None:
            raise UserError("name a CANDIDATE bundle to measure, or a recorded trial with --from")
        if self.device is None:
            raise UserError("name the device to measure on with --device; `seatrial devices list` shows all")

    @property
    def trial(self) -> Path:
        """Where the trial is, or will be."""
        if self.recorded is not None:
            return self.recorded
        return self.out or trial_file(self.candidate or Path("candidate"), self.device or "")


@click.command(
    cls=Command,
    epilog="Exit codes: 0 PASS, 1 FAIL, 2 wrong usage, 3 INVALID or an error of device or harness, 4 INCONCLUSIVE.",
)
@click.argument("candidate", required=False, type=FOLDER)
@click.option("--baseline", type=FOLDER, metavar="BUNDLE", help="Earlier bundle that is run beside the candidate.")
@click.option("--device", metavar="NAME", shell_complete=complete_devices, help="Device to measure on.")
@devices_file
@click.option("--budgets", type=FILE, metavar="FILE", help="Limits.  [default: those of the target]")
@click.option("--policy", type=FILE, metavar="FILE", help="gate.yaml: many models, devices and metrics in one verdict.")
@click.option("--plan", "plan_only", is_flag=True, help="Only show what a policy would measure.")
@click.option("--baselines", metavar="PLACE", help="Where baselines are kept: a folder or URL.  [default: the user's]")
@click.option(
    "--from",
    "recorded",
    type=click.Path(path_type=Path),
    metavar="TRIAL",
    help="Judge a recorded trial (of a policy: the folder of its trials); no device is needed.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where the trial goes (of a policy: the folder of its trials).  [default: trials/BUNDLE@DEVICE.json]",
)
@click.option("--resume", is_flag=True, help="Go on with a trial that was cut short.")
@click.option(
    "--comparison",
    type=click.Choice(("auto", "duet", "separate")),
    help="Compare within one process, or by separate runs in ABBA order.  [default: auto]",
)
@click.option("--looks", callback=looks, metavar="N,N,...", help="Pairs after which to look.  [default: 8,16,32,64]")
@click.option("--no-history", is_flag=True, help="Do not remember this verdict.")
@click.option("--history", metavar="URL", help="SQLAlchemy URL of the history.  [default: SQLite of the user]")
@report_options
@plan_options
@click.pass_obj
def gate(
    screen: Screen,
    /,
    comparison: str | None,
    looks: tuple[int, ...] | None,
    no_history: bool,
    history: str | None,
    policy: Path | None,
    plan_only: bool,
    baselines: str | None,
    mlflow: str | None,
    **rest: Any,
) -> int:
    """Decide whether the bundle CANDIDATE may ship, by budgets and beside a baseline."""
    reports = {kind: rest.pop(kind) for kind in REPORTS}
    question = Question(**{key: rest.pop(key) for key in Question.__dataclass_fields__})
    if policy is not None:
        return _by_policy(screen, question, policy, plan_only, baselines, reports, mlflow, rest)
    if plan_only or baselines:
        raise UserError(f"{'--plan' if plan_only else '--baselines'} belongs to a policy; name one with --policy")
    question.check()
    from seatrial_ci.judgement import Judgement

    prepare([None if question.recorded else question.trial, *reports.values()])
    prepare_reports(reports)
    trial, verdict = _answer(question, _settings(comparison, looks), plan_changes(**rest), reports)
    judgements = [Judgement(verdict, trial)]
    if not no_history and question.recorded is None:
        _remember(screen, trial, verdict, history)
    before = None if no_history else pasts(judgements, history)
    files = {"trial": str(question.trial), **write_reports(judgements, reports, history=before)}
    tell_github(judgements)
    log_tracking(judgements, mlflow)
    _tell(screen, trial, verdict, files)
    return verdict.exit_code


def _by_policy(
    screen: Screen,
    question: Question,
    policy: Path,
    plan_only: bool,
    baselines: str | None,
    reports: dict[str, Path | None],
    mlflow: str | None,
    rest: dict[str, Any],
) -> int:
    from .gate_policy import PolicyQuestion, gate_by_policy

    given = {"CANDIDATE": question.candidate, "--baseline": question.baseline, "--device": question.device}
    extra = [name for name, value in {**given, "--budgets": question.budgets}.items() if value]
    if extra:
        raise UserError(f"a policy names models, devices and limits itself; leave {', '.join(extra)} out")
    asked = PolicyQuestion(
        policy, question.devices_file, question.recorded, question.out, baselines, question.resume, plan_only
    )
    return gate_by_policy(screen, asked, plan_changes(**rest), reports, mlflow)


def _tell(screen: Screen, trial: Trial, verdict: Verdict, files: dict[str, str]) -> None:
    screen.document(verdict_document(trial, verdict, files))
    say_verdict(screen, trial, verdict, files)


def _settings(comparison: str | None, looks: tuple[int, ...] | None) -> GateSettings | None:
    """Return the settings that the user changed; None for the defaults, or those that a recorded trial was made for."""
    from pydantic import ValidationError

    from seatrial_ci.gate import GateSettings

    changes = {key: value for key, value in {"comparison": comparison, "looks": looks}.items() if value is not None}
    if not changes:
        return None
    try:
        return GateSettings.model_validate(changes)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None


def _answer(
    question: Question, settings: GateSettings | None, plan: dict[str, Any], reports: dict[str, Path | None]
) -> tuple[Trial, Verdict]:
    from seatrial import api

    if question.recorded is not None:
        if plan:
            raise UserError("--from judges a recorded trial; how many runs to make can't be changed any more")
        return api.judge_file(question.recorded, question.budgets, settings)
    before = _stamp(question.trial)
    try:
        return _live(question, settings, plan)
    except SeatrialError as error:
        if not isinstance(error, UserError) and _stamp(question.trial) != before:
            _report_invalid(question, settings, reports)
        raise


def _live(question: Question, settings: GateSettings | None, plan: dict[str, Any]) -> tuple[Trial, Verdict]:
    from seatrial import api

    with shown() as on_event:
        return api.gate(
            question.candidate or "",
            question.baseline,
            question.device or "",
            question.budgets,
            inventory=question.devices_file,
            plan=plan,
            settings=settings,
            out=question.trial,
            resume=question.resume,
            on_event=on_event,
        )


def _report_invalid(question: Question, settings: GateSettings | None, reports: dict[str, Path | None]) -> None:
    """A pipeline that collects JUnit files must find one for a trial that broke off, too."""
    import contextlib

    from seatrial import api
    from seatrial_ci.judgement import Judgement

    with contextlib.suppress(SeatrialError):
        trial, verdict = api.judge_file(question.trial, question.budgets, settings)
        write_reports([Judgement(verdict, trial)], reports)


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0


def _remember(screen: Screen, trial: Trial, verdict: Verdict, url: str | None) -> None:
    """Keep the verdict in the history; a history that can't be written does not change what was decided."""
    from seatrial_ci import history

    try:
        with history.History.open(url) as kept:
            kept.add(trial, verdict)
    except SeatrialError as error:
        screen.note(f"warning: the verdict is not in the history: {error}")
