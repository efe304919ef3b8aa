"""What GitHub shows: annotations, a step summary, and the text of one pull-request comment that is updated in place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from seatrial_ci.gate.checks import title
from seatrial_ci.gate.verdict import Check, Outcome, PolicyVerdict
from seatrial_ci.judgement import Judgement
from seatrial_ci.report.markdown import bounded, overview, summary
from seatrial_targets.errors import HarnessError

# A summary over 1 MiB is dropped without failing the job, and all steps of a job share their page.
MOST_SUMMARY_BYTES = 1024 * 1024 - 1024
LEAST_SUMMARY_BYTES = 1000
MOST_COMMENT_BYTES = 65_000  # the API takes 65,536 characters
MOST_ANNOTATIONS = 10  # of each kind, per step: GitHub shows no more
LEVELS = {Outcome.FAIL: "error", Outcome.INVALID: "error", Outcome.INCONCLUSIVE: "warning"}


def workflow_commands(judgements: Sequence[Judgement]) -> list[str]:
    """Return workflow commands (`::error title=...::...`), at most 10 of a kind: GitHub shows no more."""
    found: dict[str, list[str]] = {"error": [], "warning": []}
    for each in judgements:
        for check in each.verdict.checks:
            level = _level(check)
            if level:
                found[level].append(_command(level, f"{check.outcome.value}: {title(each.verdict)}", check.message))
    return [line for lines in found.values() for line in lines[:MOST_ANNOTATIONS]]


def comment(judgements: Sequence[Judgement], policy: PolicyVerdict | None = None) -> str:
    """Return the text of a pull-request comment. Its first line is a hidden marker: who posts it looks for a comment
    that begins so, and updates that one. The marker is that of the policy, so that several policies don't collide."""
    marker = comment_marker(policy.policy if policy else _names(judgements))
    body = (
        "\n".join(overview(judgements, policy))
        if policy or len(judgements) != 1
        else summary(judgements, evidence="short")
    )
    return f"{marker}\n{bounded(body, MOST_COMMENT_BYTES)}"


def comment_marker(name: str) -> str:
    """Return the hidden first line of the comment of a policy."""
    return f"<!-- seatrial:{re.sub(r'[^A-Za-z0-9._ -]', '_', name)[:200].replace('--', '-')} -->"


def write_summary(
    judgements: Sequence[Judgement], policy: PolicyVerdict | None, environment: Mapping[str, str]
) -> bool:
    """Append the step summary where GitHub Actions reads it; nothing happens elsewhere, or when the page is full.

    A page that other steps of the job have filled would be dropped whole. Raises HarnessError.
    """
    place = environment.get("GITHUB_STEP_SUMMARY")
    if environment.get("GITHUB_ACTIONS") != "true" or not place:
        return False
    path = Path(place)
    try:
        room = MOST_SUMMARY_BYTES - (path.stat().st_size if path.exists() else 0)
        if room < LEAST_SUMMARY_BYTES:
            return False
        text = summary(judgements, policy, room, "folded")
        with path.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise HarnessError(f"{path}: the step summary can't be written: {error.strerror}") from error
    return True


def _level(check: Check) -> str | None:
    if check.outcome is Outcome.PASS:
        return None
    return "warning" if check.severity == "warn" else LEVELS[check.outcome]


def _command(level: str, heading: str, message: str) -> str:
    return f"::{level} title={_property(heading)}::{_data(message)}"


def _data(text: str) -> str:
    """Escape as actions/toolkit does (packages/core/src/command.ts): %, CR and LF."""
    return _printable(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\r\n" else "�" for c in text)


def _names(judgements: Sequence[Judgement]) -> str:
    return " ".join(_one(judgements))


def _one(judgements: Sequence[Judgement]) -> Iterator[str]:
    for each in judgements:
        yield f"{each.verdict.candidate}.{each.verdict.target}@{each.verdict.device}"
