"""A verdict as a person reads it: the outcome, what decided it, and the evidence of every check."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .figures import say_summaries
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_ci.gate import Check, Verdict
    from seatrial_runner.records import Trial


def say_verdict(screen: Screen, trial: Trial, verdict: Verdict, files: Mapping[str, str]) -> None:
    """Print the figures, the checks with their evidence, the verdict, and where the files are."""
    if screen.as_json:
        return
    from seatrial_ci.summary import summarise

    say_summaries(screen, [summarise(trial)])
    screen.line()
    screen.table(("check", "", "measured", "limit", "evidence"), [_row(check) for check in verdict.checks])
    screen.line()
    screen.outcome(verdict.outcome.value, f"{verdict.candidate} on {verdict.device}")
    for reason in verdict.reasons:
        screen.line(f"  {reason}")
    for note in verdict.notes:
        screen.line(f"  note: {note}")
    for kind, path in files.items():
        screen.line(f"{kind.replace('_', ' ')}: {path}")


def verdict_document(trial: Trial, verdict: Verdict, files: Mapping[str, str]) -> dict[str, Any]:
    """Return the verdict, its exit code, the figures and the files that were written, as plain data."""
    from seatrial_ci.summary import summarise

    body: dict[str, Any] = json.loads(verdict.model_dump_json(by_alias=True))
    summary = json.loads(summarise(trial).model_dump_json(by_alias=True))
    return {**body, "exit_code": verdict.exit_code, "files": dict(files), "summary": summary}


def _row(check: Check) -> tuple[str, str, str, str, str]:
    from seatrial_ci.gate.wording import between, show

    bounds = between(check.low, check.high, check.unit)
    measured = show(check.value, check.unit) + (f" ({bounds})" if bounds else "")
    return check.metric, check.outcome.value, measured, _limit(check), _evidence(check)


def _limit(check: Check) -> str:
    from seatrial_ci.gate.wording import show

    if check.limit is not None:
        return show(check.limit, check.unit)
    if check.ignore is not None and check.margin is not None:
        return f"fails above {show(check.ignore, check.unit)}, passes below {show(check.margin, check.unit)}"
    return "-"


def _evidence(check: Check) -> str:
    parts = []
    if check.pairs is not None:
        parts.append(f"{check.pairs} pairs")
    if check.runs is not None:
        parts.append(f"{check.runs} runs")
    if check.noise_sd is not None and math.isfinite(check.noise_sd):
        parts.append(f"noise {check.noise_sd * 100:.2f} %")
    if check.mde is not None and math.isfinite(check.mde):
        parts.append(f"would see {check.mde * 100:+.1f} %")
    return ", ".join([*parts, *([check.method] if check.method else [])]) or "-"
