"""One self-contained page: the verdict first, its evidence below. No request; readable without its one script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from seatrial_ci.gate.verdict import Check, PolicyVerdict, Verdict, worst
from seatrial_ci.gate.wording import between, label, show
from seatrial_ci.judgement import Judgement
from seatrial_ci.report.chart import pair_chart, run_chart
from seatrial_ci.report.charts_of_runs import pareto_chart, power_charts, trace_chart
from seatrial_ci.report.checks import bounds_note, evidence_of, limit_of, reasons, title
from seatrial_ci.report.rows import INTERVALS, bundle_rows, heading, instant, matrix, provenance, state_rows
from seatrial_ci.summary import summarise
from seatrial_runner.records import Trial
from seatrial_targets.errors import UserError

if TYPE_CHECKING:
    from jinja2 import Template


def html(judgements: Sequence[Judgement], policy: PolicyVerdict | None = None) -> str:
    """Return the page: of several judgements an overview first. Raises UserError when jinja2, an extra, is missing."""
    style, script = _read("report.css"), _read("report.js")
    outcome = policy.outcome if policy else worst(each.verdict.outcome for each in judgements)
    return _template().render(
        outcome=outcome.value,
        heading=policy.policy if policy else title(judgements[0].verdict),
        many=len(judgements) > 1 or policy is not None,
        overall=policy,
        overview=matrix(judgements),
        pareto=pareto_chart(judgements),
        cells=[_cell(each, number) for number, each in enumerate(judgements)],
        style=style,
        script=script,
        security=_security(style, script),
    )


def _cell(judgement: Judgement, number: int) -> dict[str, Any]:
    """Everything about one verdict that the template shows; only the verdict where nothing was measured."""
    verdict, trial = judgement.verdict, judgement.trial
    found: dict[str, Any] = {
        "id": f"cell{number}",
        "verdict": verdict,
        "title": title(verdict),
        "reasons": reasons(verdict),
        "bounds_note": bounds_note(verdict),
        "checks": [_check(check) for check in verdict.checks],
        "trial": trial,
    }
    return found | (_evidence(verdict, trial) if trial is not None else {})


def _evidence(verdict: Verdict, trial: Trial) -> dict[str, Any]:
    summary = summarise(trial)
    charts = (pair_chart(verdict, trial), run_chart(trial), trace_chart(trial), *power_charts(trial))
    return {
        "summary": summary,
        "baseline": trial.bundles.get("baseline"),
        "intervals": INTERVALS,
        "headings": [heading(bundle) for bundle in summary.bundles],
        "rows": bundle_rows(summary),
        "charts": [chart for chart in charts if chart],
        "states": state_rows(trial),
        "provenance": provenance(trial),
        "lost": [run for run in trial.runs if not run.counts][:50],
        "started": instant(trial.started_unix_ns),
    }


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
def _template() -> Template:
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise UserError("the HTML report needs jinja2; install it by: pip install 'seatrial[report]'") from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_read("report.html.j2"))


def _read(name: str) -> str:
    return resources.files("seatrial_ci.report").joinpath("templates", name).read_text(encoding="utf-8").strip()
