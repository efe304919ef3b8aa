"""One self-contained page: the verdict first, its evidence below. No script, no request."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from seatrial_ci.gate.verdict import Check, Verdict
from seatrial_ci.gate.wording import between, label, show
from seatrial_ci.report.chart import pair_chart, run_chart
from seatrial_ci.report.checks import bounds_note, evidence_of, limit_of, reasons, title
from seatrial_ci.report.rows import INTERVALS, bundle_rows, heading, instant, provenance, state_rows
from seatrial_ci.summary import summarise
from seatrial_runner.records import Trial
from seatrial_targets.errors import UserError

if TYPE_CHECKING:
    from jinja2 import Template


def html(verdict: Verdict, trial: Trial) -> str:
    """Return the page. Raises UserError when jinja2, an optional dependency, is not installed."""
    style = _read("report.css")
    summary = summarise(trial)
    return _template().render(
        verdict=verdict,
        trial=trial,
        summary=summary,
        title=title(verdict),
        baseline=trial.bundles.get("baseline"),
        reasons=reasons(verdict),
        bounds_note=bounds_note(verdict),
        intervals=INTERVALS,
        headings=[heading(bundle) for bundle in summary.bundles],
        style=style,
        policy=_policy(style),
        checks=[_check(check) for check in verdict.checks],
        rows=bundle_rows(summary),
        charts=[chart for chart in (pair_chart(verdict, trial), run_chart(trial)) if chart],
        states=state_rows(trial),
        provenance=provenance(trial),
        lost=[run for run in trial.runs if not run.counts][:50],
        started=instant(trial.started_unix_ns),
    )


def _check(check: Check) -> dict[str, str]:
    return {
        "metric": label(check.metric),
        "outcome": check.outcome.value,
        "value": show(check.value, check.unit),
        "bounds": between(check.low, check.high, check.unit),
        "limit": limit_of(check),
        "evidence": evidence_of(check),
        "message": check.message,
    }


def _policy(style: str) -> str:
    """Nothing may be loaded, run or sent; of styles only the one that we wrote, by its hash."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


@cache
def _template() -> Template:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise UserError("the HTML report needs jinja2; install it by: pip install 'seatrial[report]'") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_read("report.html.j2"))


def _read(name: str) -> str:
    return resources.files("seatrial_ci.report").joinpath("templates", name).read_text(encoding="utf-8").strip()
