"""One self-contained page: the verdict first, its evidence below. No request; readable without its one script."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from seatrial_ci.gate.checks import bounds_note, evidence_of, limit_of
from seatrial_ci.gate.verdict import Check, PolicyVerdict, worst
from seatrial_ci.gate.wording import between, label, show
from seatrial_ci.judgement import Subject
from seatrial_ci.report.chart import Bars, Chart
from seatrial_ci.report.drawing import draw, draw_bars
from seatrial_ci.report.evidence import Past, exhibits, variants
from seatrial_ci.report.exhibit import Exhibit
from seatrial_ci.report.provenance import provenance
from seatrial_ci.report.rows import INTERVALS, figure_rows, heading, instant, matrix, state_rows
from seatrial_ci.report.subjects import FIRST, MEASURED, Part, part_of
from seatrial_ci.summary import summarise
from seatrial_runner.records import Trial
from seatrial_targets.errors import UserError

if TYPE_CHECKING:
    from jinja2 import Environment

MOST_BYTES = 1_400_000  # of a page; what does not fit is left out with a notice
MOST_REASONS = 20

Shown = tuple[Exhibit, list[tuple[str, Any, Chart | Bars]]]


def html(
    subjects: Sequence[Subject], policy: PolicyVerdict | None = None, history: Mapping[str, Past] | None = None
) -> str:
    """Return the page: of several subjects an overview first. ``history`` maps ids of trials to what came before.

    At most 1.4 MB: of a large family the evidence of those that pass is left out first, with a notice. Raises UserError
    when jinja2, an extra, is missing.
    """
    parts = [part_of(subject) for subject in subjects]
    many = len(parts) > 1 or policy is not None
    devices, rows, hidden = matrix([(part.model, part.device, part.outcome) for part in parts])
    cells = _cells(parts, history or {}, many)
    across = variants([part.trial for part in parts if part.trial]) if many else None
    style, script = _read("report.css"), _read("report.js")
    page = _environment().get_template("report.html.j2")
    return page.render(
        outcome=policy.outcome.value if policy else _worst(parts),
        heading=policy.policy if policy else parts[0].title if not many else f"{len(parts)} trials",
        many=many,
        tally=_tally(parts),
        overall=policy,
        overview=(devices, rows),
        shown=set(cells),
        left_out=[text for text in (hidden, _unshown(len(parts) - len(cells))) if text],
        cells=list(cells.values()),
        across=_pictures(across) if across and not across.absent else None,
        style=style,
        script=script,
        security=_security(style, script),
        version=version("seatrial"),
    )


def _worst(parts: Sequence[Part]) -> str:
    judged = [part.verdict.outcome for part in parts if part.verdict]
    return worst(judged).value if judged else MEASURED


def _tally(parts: Sequence[Part]) -> list[tuple[str, int]]:
    counted = Counter(part.outcome for part in parts)
    return [(outcome, counted[outcome]) for outcome in FIRST if counted[outcome]]


def _unshown(count: int) -> str:
    return f"The evidence of {count} verdicts is left out: a page of all would be too large." if count else ""


def _cells(parts: Sequence[Part], history: Mapping[str, Past], many: bool) -> dict[str, Any]:
    """Return each part of the page by its anchor, in their order, as long as there is room."""
    template = _environment().get_template("cell.html.j2")
    made: dict[int, Any] = {}
    room = MOST_BYTES - 150_000  # for the rest of the page
    for number, part in sorted(enumerate(parts), key=lambda item: FIRST.index(item[1].outcome)):
        if room <= 0:
            break
        text = template.render(cell=_cell(part, number, history, many), many=many, most_reasons=MOST_REASONS)
        room -= len(text.encode())
        if room >= 0 or not made:
            made[number] = _markup(text)
    return {f"cell{number}": made[number] for number in sorted(made)}


def _markup(text: str) -> Any:
    """Say of what our own template made, and escaped, that it is markup."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704


def _cell(part: Part, number: int, history: Mapping[str, Past], many: bool) -> dict[str, Any]:
    """Everything about one subject that the template shows; only the verdict where nothing was measured."""
    found: dict[str, Any] = {
        "id": f"cell{number}",
        "part": part,
        "bounds_note": bounds_note(part.verdict) if part.verdict else "",
        "checks": [_check(check) for check in part.checks],
    }
    return found | (_evidence(part, part.trial, history.get(part.trial.id), many) if part.trial is not None else {})


def _evidence(part: Part, trial: Trial, past: Past | None, many: bool) -> dict[str, Any]:
    summary = summarise(trial)
    found = [*exhibits(part.verdict, trial, past), *([] if many else [variants([trial])])]
    return {
        "summary": summary,
        "baseline": trial.bundles.get("baseline"),
        "intervals": INTERVALS,
        "headings": [heading(bundle) for bundle in summary.bundles],
        "figures": [(row.label, *row.cells) for row in figure_rows(summary, trial)],
        "exhibits": [_pictures(each) for each in found if not each.absent],
        "absent": [each for each in found if each.absent],
        "states": [(row.label, *row.cells) for row in state_rows(trial)],
        "provenance": [*provenance(trial), *([("rule", part.rule)] if part.rule else [])],
        "lost": [run for run in trial.runs if not run.counts][:50],
        "started": instant(trial.started_unix_ns),
    }


def _pictures(exhibit: Exhibit) -> Shown:
    return exhibit, [
        ("bars", draw_bars(each), each) if isinstance(each, Bars) else ("chart", draw(each), each)
        for each in exhibit.charts
    ]


def _check(check: Check) -> dict[str, str]:
    return {
        "metric": label(check.metric),
        "outcome": check.outcome.value,
        "value": show(check.value, check.unit),
        "bounds": between(check.low, check.high, check.unit),
        "limit": limit_of(check),
        "evidence": evidence_of(check),
        "message": check.message,
        "severity": "" if check.severity == "block" else "warns only",
    }


def _security(style: str, script: str) -> str:
    """Nothing may be loaded or sent; of styles and scripts only those that we wrote, by their hashes."""
    allowed = f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}"
    return f"{allowed}; base-uri 'none'; form-action 'none'"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _environment() -> Environment:
    try:
        from jinja2 import Environment, FunctionLoader, StrictUndefined
    except ImportError as error:
        raise UserError("the HTML report needs jinja2; install it by: pip install 'seatrial[report]'") from error
    return Environment(
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_read),
    )


def _shown(value: Any) -> Any:
    """Return text without characters that a reader can't see, some of which turn what follows around."""
    if not isinstance(value, str) or hasattr(value, "__html__") or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in value)


def _read(name: str) -> str:
    return resources.files("seatrial_ci.report").joinpath("templates", name).read_text(encoding="utf-8").strip()
