"""Figures in the formats of other programs: Bencher, github-action-benchmark, OpenMetrics (GitLab), shields.io."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from seatrial_ci.gate.verdict import Outcome, PolicyVerdict, worst
from seatrial_ci.judgement import Judgement
from seatrial_ci.report.measures import Measure, measures

COLOURS = {"PASS": "brightgreen", "FAIL": "red", "INCONCLUSIVE": "yellow", "INVALID": "lightgrey"}


def bencher(judgements: Sequence[Judgement]) -> str:
    """Return Bencher Metric Format: {benchmark: {measure: {value, lower_value, upper_value}}}.

    Names of measures carry their unit, so that they become measures of their own there.
    https://bencher.dev/docs/reference/bencher-metric-format/
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in measures(judgements):
        metric = {"value": row.value}
        if row.low is not None and row.high is not None:
            metric |= {"lower_value": row.low, "upper_value": row.high}
        found.setdefault(row.series, {})[row.name.replace("_", "-")] = metric
    return json.dumps(found, indent=1) + "\n"


def benchmark_json(judgements: Sequence[Judgement]) -> str:
    """Return what github-action-benchmark takes as `customSmallerIsBetter`: [{name, unit, value, range, extra}].

    Figures of which more is better (accuracies) are left out: one file has one direction.
    https://github.com/benchmark-action/github-action-benchmark
    """
    rows = [row for row in measures(judgements) if not row.bigger_is_better]
    return json.dumps([_benchmark(row) for row in rows], indent=1) + "\n"


def _benchmark(row: Measure) -> dict[str, object]:
    found: dict[str, object] = {"name": f"{row.series}: {row.name}", "unit": row.unit, "value": row.value}
    if row.low is not None and row.high is not None:
        found["range"] = f"{row.low:.6g} to {row.high:.6g}"
    if row.runs:
        found["extra"] = f"95 % interval over {row.runs} runs"
    return found


def openmetrics(judgements: Sequence[Judgement]) -> str:
    """Return OpenMetrics text, which GitLab's metrics report and Prometheus read: a gauge for each figure.

    `seatrial_verdict` is a state set: 1 for the outcome of each verdict, 0 for the others.
    https://github.com/prometheus/OpenMetrics/blob/main/specification/OpenMetrics.md
    """
    lines = list(_states(judgements))
    rows = measures(judgements)
    for name in sorted({row.name for row in rows}):
        lines += _family(name, [row for row in rows if row.name == name])
    return "\n".join([*lines, "# EOF"]) + "\n"


def badge(judgements: Sequence[Judgement], policy: PolicyVerdict | None = None) -> str:
    """Return the JSON of a shields.io endpoint badge: https://shields.io/badges/endpoint-badge."""
    outcome = policy.outcome if policy else worst(each.verdict.outcome for each in judgements)
    stamped = any(each.verdict.stamp for each in judgements)
    label = f"seatrial {policy.policy}" if policy else "seatrial"
    message = outcome.value + (" (not real hardware)" if stamped else "")
    body = {"schemaVersion": 1, "label": label, "message": message, "color": COLOURS[outcome.value]}
    return json.dumps(body) + "\n"


def _states(judgements: Sequence[Judgement]) -> Iterator[str]:
    if judgements:
        yield "# TYPE seatrial_verdict stateset"
    for each in judgements:
        verdict = each.verdict
        labels = _labels(verdict.model or verdict.candidate, verdict.target, verdict.device, verdict.stamp)
        for state in Outcome:
            text = f'{labels},seatrial_verdict="{state.value}"'
            yield f"seatrial_verdict{{{text}}} {int(verdict.outcome is state)}"


def _family(name: str, rows: Sequence[Measure]) -> list[str]:
    family = f"seatrial_{re.sub(r'[^a-zA-Z0-9_]', '_', name)}"
    unit = rows[0].unit
    lines = [f"# TYPE {family} gauge"] + ([f"# UNIT {family} {unit}"] if unit and family.endswith(f"_{unit}") else [])
    seen: set[str] = set()
    for row in rows:
        labels = _labels(row.model, row.target, row.device, row.stamp)
        if labels not in seen:  # the same cell measured twice would be a duplicate, which parsers refuse
            seen.add(labels)
            lines.append(f"{family}{{{labels}}} {row.value!r}")
    return lines


def _labels(model: str, target: str, device: str, stamp: str) -> str:
    pairs = {"model": model, "target": target, "device": device, "stamp": stamp}
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in pairs.items())


def _escaped(text: str) -> str:
    line = "".join(c if c.isprintable() or c == "\n" else "�" for c in text)
    # GitLab takes the rest of a line from any # on for a comment, also within quotes.
    line = line.replace("#", "\N{FULLWIDTH NUMBER SIGN}")
    return line.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
