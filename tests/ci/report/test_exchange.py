"""Formats of other programs, each read by its consumer's own parser, or by the rules that it publishes."""

from __future__ import annotations

import json
import os
import re
import shlex
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from made_trials import MS, TrialMaker
from seatrial_ci.gate import judge
from seatrial_ci.gate.verdict import Outcome, PolicyVerdict
from seatrial_ci.judgement import Judgement
from seatrial_ci.report import document, summary
from seatrial_ci.report.exchange import badge, bencher, benchmark_json, openmetrics
from seatrial_ci.report.github import comment, workflow_commands, write_summary
from seatrial_ci.report.measures import measures
from seatrial_runner.records import DeviceInfo
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import HarnessError

HOSTILE = 'a"b\\c\nd | <img src=x onerror=alert(1)> [x](javascript:y) @team #1 ::error::z %0A `c` </details> <!-- -->'
# https://bencher.dev/docs/reference/bencher-metric-format/
BMF = {
    "type": "object",
    "additionalProperties": {
        "type": "object",
        "additionalProperties": {
            "type": "object",
            "required": ["value"],
            "additionalProperties": False,
            "properties": {k: {"type": "number"} for k in ("value", "lower_value", "upper_value")},
        },
    },
}
# github-action-benchmark, src/extract.ts: name, unit and a finite value; range and extra are text.
BENCHMARK = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
    },
}
# https://shields.io/badges/endpoint-badge
BADGE = {
    "type": "object",
    "required": ["schemaVersion", "label", "message"],
    "additionalProperties": False,
    "properties": {
        "schemaVersion": {"const": 1},
        **{key: {"type": "string", "minLength": 1} for key in ("label", "message", "color")},
    },
}


def judged(name: str = "lab-pi", stamp: str = "", effect: float = 0.0, **limits: object) -> Judgement:
    maker = TrialMaker().solos(5, 10 * MS * (1 + effect)).solos(5, bundle="baseline").duets(8, effect)
    maker.memory(50_000_000)
    device = DeviceInfo(name=name, target="raspberry-pi-5", transport="ssh", stamp=stamp)
    trial = maker.trial(device=device)
    return Judgement(judge(trial, Budgets.model_validate(limits)), trial)


def missing() -> Judgement:
    verdict = judged().verdict.model_copy(update={"outcome": Outcome.INVALID, "reasons": ("no route",), "trial_id": ""})
    return Judgement(verdict, None)


def several() -> tuple[list[Judgement], PolicyVerdict]:
    found = [judged("one"), judged("two", effect=0.2), missing()]
    policy = PolicyVerdict(
        policy="release", outcome=Outcome.FAIL, reasons=("m on two: slow",), verdicts=tuple(j.verdict for j in found)
    )
    return found, policy


def test_measures_are_in_si_units_with_their_intervals() -> None:
    found = {row.name: row for row in measures([judged()])}
    assert found["latency_p50_seconds"].value == pytest.approx(0.010, rel=0.02)
    assert found["peak_memory_bytes"].value == 50_000_000
    row = found["latency_p50_seconds"]
    assert row.low is not None
    assert row.high is not None
    assert row.low < row.value < row.high
    assert "latency_p99_seconds" not in found  # five runs of 64 inferences can't support it
    assert found["accuracy_top1"].bigger_is_better
    assert measures([missing()]) == ()


def test_bencher_and_benchmark_take_theirs() -> None:
    jsonschema.validate(body := json.loads(bencher([judged(), judged("other")])), BMF)
    assert len(body) == 2
    jsonschema.validate(rows := json.loads(benchmark_json([judged()])), BENCHMARK)
    assert not [row for row in rows if "accuracy" in row["name"]]
    assert json.loads(benchmark_json([missing()])) == []


def test_openmetrics_is_read_by_prometheus_own_parser() -> None:
    families = {f.name: f for f in text_string_to_metric_families(openmetrics([judged(), missing()]))}
    assert families["seatrial_latency_p50_seconds"].unit == "seconds"
    states = {s.labels["seatrial_verdict"]: s.value for s in families["seatrial_verdict"].samples[:4]}
    assert states == {"PASS": 1, "FAIL": 0, "INCONCLUSIVE": 0, "INVALID": 0}


def test_the_same_cell_twice_is_no_duplicate_to_prometheus() -> None:
    list(text_string_to_metric_families(openmetrics([judged(), judged()])))


@settings(max_examples=40)
@given(st.text(max_size=40))
def test_any_name_survives_openmetrics(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return
    (each, *_) = [
        f for f in text_string_to_metric_families(openmetrics([judged(name)])) if f.name.endswith("p50_seconds")
    ]
    shown = "".join(c if c.isprintable() or c == "\n" else "�" for c in name).replace("#", "＃")
    assert each.samples[0].labels["device"] == shown


@pytest.mark.parametrize("name", ["lab pi #1", 'a"b', "it's", "back\\slash", "$HOME `x`", HOSTILE])
def test_gitlab_reads_every_line(name: str) -> None:
    """As its parser does (gitlab, ee/lib/gitlab/ci/parsers/metrics): no comment, then two words as a shell's."""
    text = openmetrics([judged(name), missing()])
    lines = [line for line in (re.sub("#.*$", "", each) for each in text.splitlines()) if line.strip()]
    words = [shlex.split(line) for line in lines]
    assert all(len(found) == 2 and float(found[1]) >= 0 for found in words)
    assert len({found[0] for found in words}) == len(words) == len([x for x in text.splitlines() if x[0] != "#"])


def test_a_stamp_is_in_every_format() -> None:
    stamped = [judged(stamp="QEMU")]
    for text in (bencher(stamped), benchmark_json(stamped), openmetrics(stamped), summary(stamped), document(stamped)):
        assert "QEMU" in text
    assert "not real hardware" in badge(stamped)


@pytest.mark.parametrize(("effect", "colour"), [(0.0, "brightgreen"), (0.2, "red")])
def test_the_badge(effect: float, colour: str) -> None:
    jsonschema.validate(body := json.loads(badge([judged(effect=effect)])), BADGE)
    assert body["color"] == colour


def test_a_policys_summary_shows_each_cell_and_folds_the_rest() -> None:
    found, policy = several()
    text = summary(found, policy)
    assert text.startswith("# FAIL: release")
    assert text.count("<details>") == text.count("</details>") == 2
    assert "no route" in text
    assert text.count("FAIL: net-int8") == 1  # said by the summary of what is folded, not again in it
    assert "- ()" not in text
    assert "# FAIL: release" in comment(found, policy)
    assert "<details>" not in comment(found, policy)


@pytest.mark.parametrize("limit", [2000, 5000, 9000])
def test_a_summary_that_is_too_long_is_cut_with_a_notice_and_closed(limit: int) -> None:
    found, policy = several()
    text = summary(found * 5, policy, limit)
    assert len(text.encode()) <= limit
    assert "Cut here" in text
    assert text.count("<details>") == text.count("</details>")


def test_hostile_names_inject_nothing_into_markdown() -> None:
    """Read as GitHub does: CommonMark with tables, where raw HTML is on."""
    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    for text in (summary([judged(HOSTILE)]), comment([judged(HOSTILE), judged("b")])):
        rendered = parser.render(text)
        assert "<img" not in rendered
        assert "<a " not in rendered
        assert "@team" not in rendered
        for table in re.findall(r"<table>(.*?)</table>", rendered, re.S):
            assert len({row.count("<t") for row in re.findall(r"<tr>(.*?)</tr>", table, re.S)}) == 1


def test_the_comment_is_found_again_by_its_first_line() -> None:
    found, policy = several()
    assert comment(found, policy).splitlines()[0] == "<!-- seatrial:release -->"
    first = comment([judged(HOSTILE)]).splitlines()[0]
    assert re.fullmatch(r"<!-- seatrial:[^<>]* -->", first)
    assert "--" not in first[5:-3]
    assert len(comment(found * 400, policy)) < 65_536
    text = comment([judged()])
    assert text.count("<details>") == text.count("</details>") == 1  # where all comes from, below what matters
    assert text.index("latency regression") < text.index("<details>")


def test_workflow_commands_are_one_line_each_and_say_what_failed() -> None:
    lines = workflow_commands([judged(HOSTILE, effect=0.2)])
    assert len(lines) == 1
    command = re.fullmatch(r"::error title=([^:,\r\n]*)::([^\r\n]*)", lines[0])
    assert command
    assert _unescaped(command[1]).startswith("FAIL: net-int8")
    assert workflow_commands([judged()]) == []
    assert len(workflow_commands([judged(effect=0.2)] * 30)) == 10


def test_a_check_that_only_warns_is_a_warning() -> None:
    (line,) = workflow_commands([judged(latency_p50="1 ms", warn=["latency_p50"])])
    assert line.startswith("::warning title=")


def test_the_step_summary_is_appended_only_on_github(tmp_path: Path) -> None:
    place = tmp_path / "summary.md"
    assert not write_summary([judged()], None, {"GITHUB_STEP_SUMMARY": str(place)})
    assert not place.exists()
    environment = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(place)}
    place.write_text("before\n")
    assert write_summary([judged()], None, environment)
    assert place.read_text().startswith("before\n# PASS")
    with pytest.raises(HarnessError, match="step summary"):
        write_summary([judged()], None, {**environment, "GITHUB_STEP_SUMMARY": str(tmp_path)})
    assert os.environ.get("GITHUB_STEP_SUMMARY") != str(place)


@pytest.mark.parametrize("there", [0, 1_040_000, 1_047_400, 1_048_576])
def test_a_step_summary_never_makes_the_page_too_large(tmp_path: Path, there: int) -> None:
    place = tmp_path / "summary.md"
    place.write_bytes(b"x" * there)
    found, policy = several()
    written = write_summary(found * 300, policy, {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(place)})
    assert written == (there < 1_046_000)
    assert place.stat().st_size <= 1024 * 1024
    assert not written or "Cut here" in place.read_text()[-200:]


def _unescaped(text: str) -> str:
    """Undo the escapes as the runner does (ActionCommand.cs): %25 last."""
    for escape, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(escape, character)
    return text
