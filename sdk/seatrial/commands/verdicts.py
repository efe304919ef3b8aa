"""A verdict as a person reads it: the outcome, what decided it, and the evidence of every check."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .depth import say_depth
from .figures import say_summaries
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_ci.gate import Check, Verdict
    from seatrial_runner.records import Trial


def say_verdict(screen: Screen, trial: Trial, verdict: Verdict, files: Mapping[str, str]) -> None:
    """Print the figures, the checks with their evidence, the verdict, and where the files are."""
    if screen.as_json:
        return
    from seatrial_ci.gate.checks import reasons, title
    from seatrial_ci.summary import summarise

    say_summaries(screen, [summarise(trial)])
    screen.line()
    _say_checks(screen, verdict)
    screen.line()
    screen.outcome(verdict.outcome.value, title(verdict))
    for reason in reasons(verdict):
        screen.line(f"  {reason}")
    for sentence in _sensitivity(verdict):
        screen.line(f"  {sentence}")
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


def say_measured(screen: Screen, trial: Trial, files: Mapping[str, str]) -> None:
    """Print the figures of a trial that has no verdict, and where the files are."""
    if screen.as_json:
        return
    from seatrial_ci.report.subjects import NOT_JUDGED
    from seatrial_ci.summary import summarise

    say_summaries(screen, [summarise(trial)])
    say_depth(screen, trial)
    screen.line(NOT_JUDGED)
    for kind, path in files.items():
        screen.line(f"{kind.replace('_', ' ')}: {path}")


def measured_document(trial: Trial, files: Mapping[str, str]) -> dict[str, Any]:
    """Return the figures of a trial that has no verdict, and the files that were written, as plain data."""
    from seatrial_ci.summary import summarise

    summary = json.loads(summarise(trial).model_dump_json(by_alias=True))
    return {"outcome": None, "trial_id": trial.id, "files": dict(files), "summary": summary}


def _say_checks(screen: Screen, verdict: Verdict) -> None:
    from seatrial_ci.gate.checks import levels

    surety = f"; in brackets the bounds that decide, {levels(verdict)} each" if levels(verdict) else ""
    heads = ("check", "", "measured", "limit", "from")
    screen.table(heads, [_row(check) for check in verdict.checks], title=f"Checks{surety}", whole=3)


def _row(check: Check) -> tuple[str, ...]:
    from seatrial_ci.gate.checks import limit_of
    from seatrial_ci.gate.wording import between, label, show

    bounds = between(check.low, check.high, check.unit)
    measured = show(check.value, check.unit) + (f" ({bounds})" if bounds else "")
    return label(check.metric), check.outcome.value, measured, limit_of(check), _source(check)


def _source(check: Check) -> str:
    if check.pairs is not None:
        return f"{check.pairs} pairs"
    if check.runs is not None:
        return f"{check.runs} runs"
    return "bundle" if check.value is not None else "-"


def _sensitivity(verdict: Verdict) -> Iterator[str]:
    """Say how noisy the pairs of a comparison were, and what that noise lets one see."""
    from seatrial_ci.gate.wording import noise, show

    for check in verdict.checks:
        if check.pairs is None or check.noise_sd is None or check.mde is None:
            continue
        least = show(check.mde, "ratio") if math.isfinite(check.mde) else "none"
        yield f"noise of the pairs {noise(check.noise_sd)}; the least slow-down that they would surely show: {least}"
