"""seatrial gate --policy: one verdict over many models and devices."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import SeatrialError, UserError

from .files import log_tracking, prepare, prepare_reports, tell_github, write_reports
from .past import needs_past, pasts
from .progress import shown
from .remembering import Memory
from .screen import Screen

if TYPE_CHECKING:
    from seatrial.policies import PolicyResult
    from seatrial_ci.gate.verdict import Verdict


@dataclass(frozen=True)
class PolicyQuestion:
    """What is asked of a policy file: to measure, to judge what was recorded (``recorded``), or only to plan."""

    policy: Path
    devices_file: Path | None
    recorded: Path | None
    out: Path | None
    baselines: str | None
    resume: bool
    plan_only: bool


def gate_by_policy(
    screen: Screen,
    question: PolicyQuestion,
    plan: dict[str, Any],
    memory: Memory,
    reports: dict[str, Path | None],
    mlflow: str | None,
) -> int:
    """Plan, or measure and judge; say the verdict and write the reports. Returns the exit code."""
    from seatrial.policies import OUT, read_policy

    policy, cells = read_policy(question.policy, question.devices_file)
    if question.plan_only:
        return _say_plan(screen, question, plan)
    out = question.out or OUT / policy.name
    verdict_file = out / "verdict.json"
    prepare([None if question.recorded else verdict_file, *reports.values()])
    prepare_reports(reports)
    screen.line(f"policy {policy.name}: {_counted(len(cells))}")
    result = _answer(screen, question, plan, memory, out)
    if question.recorded is None:
        memory.keep(screen, result.judgements, result.confirmations)
    everything = reports if question.recorded else {**reports, "verdict_json": reports["verdict_json"] or verdict_file}
    before = pasts(result.judgements, memory.url) if needs_past(everything) and not memory.off else None
    try:
        files = write_reports(result.judgements, everything, result.verdict, before)
    except SeatrialError:  # a disk that is full takes the report, not the verdict
        say_policy(screen, result, {})
        raise
    tell_github(result.judgements, result.verdict)
    log_tracking(result.judgements, mlflow)
    body = json.loads(result.verdict.model_dump_json(by_alias=True))
    screen.document({**body, "exit_code": result.verdict.exit_code, "files": files})
    say_policy(screen, result, files)
    return result.verdict.exit_code


def _answer(screen: Screen, question: PolicyQuestion, plan: dict[str, Any], memory: Memory, out: Path) -> PolicyResult:
    from seatrial.policies import gate_policy, judge_policy_files

    if question.recorded is not None:
        if plan:
            raise UserError("--from judges recorded trials; how many runs to make can't be changed any more")
        return judge_policy_files(question.policy, [question.recorded], inventory=question.devices_file)
    with memory.asked(screen) as history, shown() as on_event:
        return gate_policy(
            question.policy,
            inventory=question.devices_file,
            baselines=question.baselines,
            history=history,
            plan=plan,
            out=out,
            resume=question.resume,
            on_event=on_event,
            tell=screen.note,
        )


def _say_plan(screen: Screen, question: PolicyQuestion, plan: dict[str, Any]) -> int:
    from seatrial.policies import planned

    rows = planned(question.policy, inventory=question.devices_file, baselines=question.baselines, plan=plan)
    screen.document([row._asdict() for row in rows])
    heads = ("model", "device", "target", "beside", "runs before the first look", "at most")
    screen.table(heads, [(r.model, r.device, r.target, r.baseline or "-", r.first, r.most) for r in rows], whole=2)
    return 0


def say_policy(screen: Screen, result: PolicyResult, files: dict[str, str]) -> None:
    """Print the table of the cells, the verdict and its reasons, and where the files are."""
    if screen.as_json:
        return
    from seatrial_ci.gate.wording import label

    rows = [_row(verdict) for verdict in result.verdict.verdicts]
    screen.table(("model", "device", "", "comparison", "blocks"), rows, whole=3)
    screen.line()
    screen.outcome(result.verdict.outcome.value, f"policy {result.verdict.policy}, {_counted(len(rows))}")
    for reason in result.verdict.reasons[:20] if result.verdict.exit_code else ():
        screen.line(f"  {reason}")
    for note in (*result.verdict.notes, *_warnings(result.verdict.verdicts)):
        screen.line(f"  note: {note}")
    for kind, path in files.items():
        screen.line(f"{label(kind)}: {path}")


def _counted(cells: int) -> str:
    return f"{cells} cell{'s' * (cells != 1)}"


def _warnings(verdicts: Sequence[Verdict]) -> list[str]:
    return [f"{v.model} on {v.device}: {note}" for v in verdicts for note in v.notes if note.startswith("warning only")]


def _row(verdict: Verdict) -> tuple[str, ...]:
    from seatrial_ci.gate.wording import between, label, show

    compared = next((check for check in verdict.checks if check.metric == "latency_regression"), None)
    bounds = between(compared.low, compared.high, compared.unit) if compared else ""
    figure = show(compared.value, "relative") + (f" ({bounds})" if bounds else "") if compared else "-"
    wrong = [label(c.metric) for c in verdict.checks if c.severity == "block" and c.outcome.value != "PASS"]
    return verdict.model, verdict.device, verdict.outcome.value, figure, ", ".join(wrong) or "-"
