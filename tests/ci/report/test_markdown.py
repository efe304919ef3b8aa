import json

import pytest

from seatrial_ci.gate import Verdict, judge
from seatrial_ci.report import as_json, markdown
from seatrial_ci.report.markdown import MOST_BYTES, plain
from seatrial_ci.summary import Summary
from seatrial_runner.records import DeviceInfo
from seatrial_targets.budgets import Budgets


def test_the_verdict_its_evidence_and_the_figures(maker):
    trial = maker.solos(5).duets(8).trial()
    text = markdown(judge(trial, Budgets()), trial)
    assert text.startswith("# PASS: net-int8 on lab-pi")
    for part in ("8 duet pairs", "sd 0.", "detects +", "margin +5.00 %", "10.0 ms", "raspberry-pi-5", "c" * 64):
        assert part in text


def test_a_bench_without_a_verdict(maker):
    text = markdown(None, maker.solos(3).trial(baseline=False))
    assert text.startswith("# Trial of net-int8")
    assert "none: no memory run was made" in text


def test_tables_stay_tables_whatever_the_names(maker):
    device = DeviceInfo(name="a|b\n<img src=x> @everyone `x`", target="t", transport="ssh")
    text = markdown(None, maker.trial(device=device))
    assert "<img" not in text
    assert "@everyone" not in text
    rows = [line for line in text.splitlines() if line.startswith("| device")]
    assert len(rows) == 1
    assert rows[0].replace("\\|", "").count("|") == 3


def test_too_long_a_text_is_cut_and_says_so(maker):
    trial = maker.duets(8).trial()
    verdict = judge(trial, Budgets()).model_copy(update={"notes": ("x" * 1000,) * 1000})
    text = markdown(verdict, trial)
    assert len(text.encode()) < MOST_BYTES + 100
    assert text.endswith("too long for a summary.\n")


@pytest.mark.parametrize(
    ("text", "safe"), [("a b", "a b"), ("a\tb\n", "a b"), ("*x*", "\\*x\\*"), ("<b>", "&lt;b&gt;")]
)
def test_plain(text, safe):
    assert plain(text) == safe


def test_json_holds_verdict_and_summary_and_both_read_back(maker):
    trial = maker.solos(3).duets(8).trial()
    verdict = judge(trial, Budgets())
    document = json.loads(as_json(verdict, trial))
    assert Verdict.model_validate(document["verdict"]) == verdict
    assert Summary.model_validate(document["summary"]).bundles[0].name == "net-int8"
    assert json.loads(as_json(None, trial))["verdict"] is None


def test_json_has_no_bare_infinity(maker):
    trial = maker.solos(1, n=64).trial()
    trial.bundles["candidate"].parity["sqnr_db"] = float("inf")
    json.loads(as_json(None, trial), parse_constant=lambda name: pytest.fail(name))
