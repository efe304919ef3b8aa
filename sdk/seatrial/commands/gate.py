"""seatrial gate: measure a candidate beside its baseline until the question is decided, and say the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial_targets.errors import SeatrialError, UserError

from .command import Command
from .files import REPORTS, log_tracking, prepare, prepare_reports, tell_github, trial_file, write_reports
from .options import (
    FILE,
    FOLDER,
    complete_devices,
    devices_file,
    evaluate_option,
    looks,
    plan_changes,
    plan_options,
    report_options,
)
from .past import needs_past, pasts
from .progress import shown
from .remembering import Memory, memory_of, memory_options
from .screen import Screen
from .verdicts import say_verdict, verdict_document

if TYPE_CHECKING:
    from seatrial_ci.gate import Verdict
    from seatrial_runner.records import Trial

ACTIONS = click.Choice(("refuse", "warn"))
SETTINGS = ("comparison", "looks", "unlike", "below_mde")  # options that are fields of GateSettings


@dataclass(frozen=True)
class Question:
    """What the gate is asked: a candidate on a device, or a recorded trial (``recorded``)."""

    candidate: Path | None
    baseline: str | None
    baselines: str | None
    device: str | None
    devices_file: Path | None
    budgets: Path | None
    recorded: Path | None
    out: Path | None
    resume: bool
    evaluate: str | None

    def check(self) -> None:
        """Raise UserError when the options contradict each other."""
        if self.recorded is None:
            self._check_live()
            return
        given = {"CANDIDATE": self.candidate, "--baseline": self.baseline, "--baselines": self.baselines}
        given |= {"--device": self.device, "--out": self.out, "--evaluate": self.evaluate}
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
@click.option(
    "--baseline",
    metavar="BUNDLE",
    help="Earlier bundle that is run beside the candidate: a folder, or tag:, branch:, release: or digest: and a name.",
)
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
@click.option("--unlike", type=ACTIONS, help="What bundles of unlike toolchain or settings do.  [default: refuse]")
@click.option("--below-mde", type=ACTIONS, help="What margins do that the device can't show.  [default: refuse]")
@memory_options
@evaluate_option
@report_options
@plan_options
@click.pass_obj
def gate(
    screen: Screen,
    /,
    policy: Path | None,
    plan_only: bool,
    mlflow: str | None,
    **rest: Any,
) -> int:
    """Decide whether the bundle CANDIDATE may ship, by budgets and beside a baseline."""
    reports = {kind: rest.pop(kind) for kind in REPORTS}
    question = Question(**{key: rest.pop(key) for key in Question.__dataclass_fields__})
    changes = _changes({key: rest.pop(key) for key in SETTINGS})
    memory = memory_of(rest)
    plan = plan_changes(**rest)
    if policy is not None:
        return _by_policy(screen, question, policy, plan_only, changes, memory, reports, mlflow, plan)
    if plan_only:
        raise UserError("--plan belongs to a policy; name one with --policy")
    question.check()
    prepare([None if question.recorded else question.trial, *reports.values()])
    prepare_reports(reports)
    trial, verdict = _answer(screen, question, changes, plan, memory, reports)
    return _done(screen, question, trial, verdict, memory, reports, mlflow)


def _done(
    screen: Screen,
    question: Question,
    trial: Trial,
    verdict: Verdict,
    memory: Memory,
    reports: dict[str, Path | None],
    mlflow: str | None,
) -> int:
    """Remember, write and say a verdict; return the exit code."""
    from seatrial_ci.judgement import Judgement

    judgements = [Judgement(verdict, trial)]
    if question.recorded is None:
        memory.keep(screen, judgements)
    before = pasts(judgements, memory.url) if needs_past(reports) and not memory.off else None
    files = {"trial": str(question.trial)}
    try:
        files |= write_reports(judgements, reports, history=before)
    except SeatrialError:  # a disk that is full takes the report, not the verdict
        say_verdict(screen, trial, verdict, files)
        raise
    tell_github(judgements)
    log_tracking(judgements, mlflow)
    _tell(screen, trial, verdict, files)
    return verdict.exit_code


def _by_policy(
    screen: Screen,
    question: Question,
    policy: Path,
    plan_only: bool,
    changes: dict[str, Any],
    memory: Memory,
    reports: dict[str, Path | None],
    mlflow: str | None,
    plan: dict[str, Any],
) -> int:
    from .gate_policy import PolicyQuestion, gate_by_policy

    given = {"CANDIDATE": question.candidate, "--baseline": question.baseline, "--device": question.device}
    given |= {"--budgets": question.budgets, "--evaluate": question.evaluate}
    given |= {f"--{key.replace('_', '-')}": value for key, value in changes.items()}
    extra = [name for name, value in given.items() if value]
    if extra:
        raise UserError(f"a policy says that itself; leave {', '.join(extra)} out, and write it into {policy}")
    asked = PolicyQuestion(
        policy, question.devices_file, question.recorded, question.out, question.baselines, question.resume, plan_only
    )
    return gate_by_policy(screen, asked, plan, memory, reports, mlflow)


def _tell(screen: Screen, trial: Trial, verdict: Verdict, files: dict[str, str]) -> None:
    screen.document(verdict_document(trial, verdict, files))
    say_verdict(screen, trial, verdict, files)


def _changes(options: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that the user changed. Raises UserError for nonsense."""
    from pydantic import ValidationError

    from seatrial_ci.gate import GateSettings

    changes = {key: value for key, value in options.items() if value is not None}
    try:
        GateSettings.model_validate(changes)
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(f"--{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from None
    return changes


def _answer(
    screen: Screen,
    question: Question,
    changes: dict[str, Any],
    plan: dict[str, Any],
    memory: Memory,
    reports: dict[str, Path | None],
) -> tuple[Trial, Verdict]:
    from seatrial import api

    if question.recorded is not None:
        if plan:
            raise UserError("--from judges a recorded trial; how many runs to make can't be changed any more")
        return api.judge_file(question.recorded, question.budgets, changes=changes)
    before = _stamp(question.trial)
    try:
        return _live(screen, question, changes, plan, memory)
    except SeatrialError as error:
        if not isinstance(error, UserError) and _stamp(question.trial) != before:
            _report_invalid(question, changes, reports)
        raise


def _live(
    screen: Screen, question: Question, changes: dict[str, Any], plan: dict[str, Any], memory: Memory
) -> tuple[Trial, Verdict]:
    from seatrial import api
    from seatrial_ci.gate import GateSettings

    with memory.asked(screen) as history, shown() as on_event:
        return api.gate(
            question.candidate or "",
            question.baseline,
            question.device or "",
            question.budgets,
            baselines=question.baselines,
            history=history,
            inventory=question.devices_file,
            plan=plan,
            settings=GateSettings.model_validate(changes),
            out=question.trial,
            resume=question.resume,
            evaluate=question.evaluate,
            on_event=on_event,
            tell=screen.note,
        )


def _report_invalid(question: Question, changes: dict[str, Any], reports: dict[str, Path | None]) -> None:
    """A pipeline that collects JUnit files must find one for a trial that broke off, too."""
    import contextlib

    from seatrial import api
    from seatrial_ci.judgement import Judgement

    with contextlib.suppress(SeatrialError):
        trial, verdict = api.judge_file(question.trial, question.budgets, changes=changes)
        write_reports([Judgement(verdict, trial)], reports)


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.is_file() else 0
