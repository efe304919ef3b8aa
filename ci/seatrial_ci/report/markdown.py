"""Markdown for terminals, pull requests and CI summaries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from seatrial_ci.gate.verdict import Check, Verdict
from seatrial_ci.gate.wording import between, label, show
from seatrial_ci.report.checks import bounds_note, evidence_of, limit_of, reasons, title
from seatrial_ci.report.rows import INTERVALS, Row, bundle_rows, heading, provenance
from seatrial_ci.summary import summarise
from seatrial_runner.records import Trial

# GitHub drops a step summary over 1 MiB without failing the job; half of it is more than anyone reads.
MOST_BYTES = 512 * 1024


def markdown(verdict: Verdict | None, trial: Trial) -> str:
    """Return the verdict (if there is one), its checks, the figures of the bundles and where they come from."""
    return _bounded("\n".join([*_head(verdict, trial), *_figures(trial), *_provenance(trial)]) + "\n")


def _head(verdict: Verdict | None, trial: Trial) -> Iterator[str]:
    if verdict is None:
        yield f"# Trial of {plain(trial.bundles['candidate'].name)} on {plain(trial.device.name)}\n"
        return
    stamp = f" [{plain(verdict.stamp)}]" if verdict.stamp else ""
    yield f"# {verdict.outcome.value}: {plain(title(verdict))}{stamp}\n"
    yield from (f"- {plain(reason)}" for reason in reasons(verdict))
    yield "\n## Checks\n"
    yield from table(
        ("metric", "outcome", "value", "bounds", "limit", "evidence"), (_check_row(check) for check in verdict.checks)
    )
    yield f"\n{bounds_note(verdict)}".rstrip()
    yield from (f"\n> {plain(note)}" for note in verdict.notes)


def _check_row(check: Check) -> tuple[str, ...]:
    return (
        label(check.metric),
        check.outcome.value,
        show(check.value, check.unit),
        between(check.low, check.high, check.unit),
        limit_of(check),
        evidence_of(check) or check.message,
    )


def _figures(trial: Trial) -> Iterator[str]:
    found = summarise(trial)
    yield "\n## Figures\n"
    rows: list[Row] = bundle_rows(found)
    yield from table(("", *(heading(b) for b in found.bundles)), ((row.label, *row.cells) for row in rows))
    yield f"\n{INTERVALS}"


def _provenance(trial: Trial) -> Iterator[str]:
    yield "\n## Provenance\n"
    yield from table(("", ""), provenance(trial))


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table; cells may hold anything."""
    names = [plain(name) for name in head]
    yield "| " + " | ".join(names) + " |"
    yield "|" + "---|" * len(names)
    yield from ("| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows)


def plain(text: str) -> str:
    """Return ``text`` on one line so that Markdown and HTML show it as it is: names come from anywhere."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    escaped = re.sub(r"([\\`*\[\]|#~$]|(?<!\w)_|_(?!\w))", r"\\\1", line)  # an underscore within a word is harmless
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "@\u200b")


def _bounded(text: str) -> str:
    blob = text.encode()
    if len(blob) <= MOST_BYTES:
        return text
    return blob[:MOST_BYTES].decode(errors="ignore").rsplit("\n", 1)[0] + "\n\n> Cut here: too long for a summary.\n"
