"""Markdown for terminals, pull requests and CI summaries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Literal

from seatrial_ci.gate.checks import bounds_note, evidence_of, limit_of, reasons, title
from seatrial_ci.gate.verdict import Check, Outcome, PolicyVerdict, Verdict, worst
from seatrial_ci.gate.wording import between, label, show
from seatrial_ci.judgement import Measured, Subject
from seatrial_ci.report.evidence import Past, exhibits, variants
from seatrial_ci.report.exhibit import Exhibit
from seatrial_ci.report.provenance import provenance
from seatrial_ci.report.rows import INTERVALS, Row, figure_rows, heading, state_rows
from seatrial_ci.report.subjects import MEASURED, Part, part_of
from seatrial_ci.summary import summarise
from seatrial_runner.records import Trial

# GitHub drops a step summary over 1 MiB without failing the job; half of it is more than anyone reads.
MOST_BYTES = 512 * 1024
MOST_REASONS = 20
MOST_ROWS = 16  # of each table of evidence
Evidence = Literal["shown", "folded", "none", "short"]


def markdown(
    verdict: Verdict | None,
    trial: Trial,
    most_bytes: int = MOST_BYTES,
    evidence: Evidence = "shown",
    past: Past | None = None,
) -> str:
    """Return the verdict (if there is one), its checks, the figures of the bundles, the evidence, where all comes from.

    The evidence is that of the HTML report as tables; it can be folded (GitHub shows a click) or left out; "short"
    folds where all comes from, too.
    """
    parts = [
        *_head(verdict, trial),
        *_figures(trial),
        *_evidence(verdict, trial, evidence, past),
        *_provenance(trial, evidence),
    ]
    return bounded("\n".join(parts) + "\n", most_bytes)


def summary(
    subjects: Sequence[Subject],
    policy: PolicyVerdict | None = None,
    most_bytes: int = MOST_BYTES,
    evidence: Evidence = "shown",
    history: Mapping[str, Past] | None = None,
) -> str:
    """Return one verdict as `markdown` does; of several a table, the variants, and each one folded below it.

    At most ``most_bytes`` of UTF-8: what does not fit is cut at a line, with a notice.
    """
    known = history or {}
    parts_of = [part_of(subject) for subject in subjects]
    if policy is None and len(parts_of) == 1 and (trial := parts_of[0].trial) is not None:
        return markdown(parts_of[0].verdict, trial, most_bytes, evidence, known.get(trial.id))
    across = variants([part.trial for part in parts_of if part.trial is not None])
    parts = chain(overview(subjects, policy), () if across.absent else _exhibit(across, "##"), _folded(parts_of))
    return bounded("\n".join(_enough(parts, most_bytes)) + "\n", most_bytes)


def _enough(parts: Iterable[str], most_bytes: int) -> Iterator[str]:
    """Yield parts until there are more than will be kept: a large family must not be written out to be cut."""
    made = 0
    for part in parts:
        yield part
        made += len(part.encode()) + 1
        if made > most_bytes:
            return


def overview(subjects: Sequence[Subject], policy: PolicyVerdict | None) -> Iterator[str]:
    """Yield the outcome of all, what decided it, and a table of the cells."""
    parts = [part_of(subject) for subject in subjects]
    outcome = policy.outcome if policy else worst(part.verdict.outcome for part in parts if part.verdict)
    name = outcome.value if policy or any(part.verdict for part in parts) else MEASURED
    yield f"# {name}: {plain(policy.policy if policy else f'{len(parts)} trials')}\n"
    for reason in policy.reasons[:MOST_REASONS] if policy and outcome is not Outcome.PASS else ():
        yield f"- {plain(reason)}"
    if policy and outcome is not Outcome.PASS and len(policy.reasons) > MOST_REASONS:
        yield f"- and {len(policy.reasons) - MOST_REASONS} more"
    yield ""
    yield from table(("model", "device", "outcome", "comparison", "why"), map(_line, parts))
    yield from (f"\n> {plain(note)}" for note in (policy.notes if policy else ()))


def _line(part: Part) -> tuple[str, ...]:
    compared = next((check for check in part.checks if check.metric == "latency_regression"), None)
    stamp = f" [{part.stamp}]" if part.stamp else ""
    bounds = between(compared.low, compared.high, compared.unit) if compared else ""
    figure = show(compared.value, compared.unit) + (f" ({bounds})" if bounds else "") if compared else "-"
    said = part.verdict.reasons if part.verdict else part.reasons
    why = "" if part.outcome == Outcome.PASS.value else next(iter(said), "")
    target = part.verdict.target if part.verdict else part.trial.bundles["candidate"].target if part.trial else ""
    return f"{part.model} ({target})", part.device + stamp, part.outcome, figure, why


def _folded(parts: Sequence[Part]) -> Iterator[str]:
    for part in parts:
        if part.trial is not None:
            stamp = f" [{part.stamp}]" if part.stamp else ""
            yield f"\n<details><summary>{plain(f'{part.outcome}: {part.title}{stamp}')}</summary>"
            whole = markdown(part.verdict, part.trial, evidence="none")
            yield whole.partition("\n")[2].replace("\n## ", "\n#### ")  # its first line is that of the summary
            yield "</details>"


def _head(verdict: Verdict | None, trial: Trial) -> Iterator[str]:
    if verdict is None:
        measured = part_of(Measured(trial))
        stamp = f" [{plain(measured.stamp)}]" if measured.stamp else ""
        yield f"# {MEASURED}: {plain(measured.title)}{stamp}\n"
        yield from (f"- {plain(reason)}" for reason in measured.reasons)
        yield from (f"\n> {plain(note)}" for note in measured.notes)
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
    rows: list[Row] = figure_rows(found, trial)
    yield from table(("", *(heading(b) for b in found.bundles)), ((row.label, *row.cells) for row in rows))
    yield f"\n{INTERVALS}"


def _evidence(verdict: Verdict | None, trial: Trial, how: Evidence, past: Past | None) -> Iterator[str]:
    if how in ("none", "short"):
        return
    found = [*exhibits(verdict, trial, past), variants([trial])]
    if how == "folded":
        yield "\n<details><summary>Evidence</summary>"
    for each in (exhibit for exhibit in found if not exhibit.absent):
        yield from _exhibit(each, "##")
    yield from _states(trial)
    absent = [each for each in found if each.absent]
    if absent:
        yield "\n## Not shown\n"
        yield from (f"- {plain(each.title)}: {plain(each.absent)}" for each in absent)
    if how == "folded":
        yield "\n</details>"


def _exhibit(exhibit: Exhibit, heading: str) -> Iterator[str]:
    yield f"\n{heading} {plain(exhibit.title)}\n\n{plain(exhibit.says)}\n"
    rows = exhibit.rows[:MOST_ROWS]
    yield from table(exhibit.head, rows)
    if len(exhibit.rows) > len(rows) or exhibit.left_out:
        yield f"\n{len(rows)} rows of more; the HTML report and the trial have the others."


def _states(trial: Trial) -> Iterator[str]:
    rows = state_rows(trial)
    if rows:
        yield "\n## State of the device\n"
        yield from table(("", "before", "after"), ((row.label, *row.cells) for row in rows))


def _provenance(trial: Trial, how: Evidence) -> Iterator[str]:
    yield "\n<details><summary>Provenance</summary>\n" if how == "short" else "\n## Provenance\n"
    yield from table(("", ""), provenance(trial))
    if how == "short":
        yield "\n</details>"


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


def bounded(text: str, most_bytes: int) -> str:
    """Return ``text``, cut at a line with a notice when it has more bytes; an open <details> is closed."""
    blob = text.encode()
    if len(blob) <= most_bytes:
        return text
    kept = blob[: most_bytes - 200].decode(errors="ignore").rsplit("\n", 1)[0]
    close = "\n\n</details>" if kept.count("<details>") > kept.count("</details>") else ""
    return f"{kept}{close}\n\n> Cut here: too long for a summary.\n"
