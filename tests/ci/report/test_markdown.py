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
    assert text.startswith("# PASS: net-int8 (generic-arm64) on lab-pi")
    for part in ("8 duet pairs", "noise 0.", "would have seen +", "margin 5 %", "10.0 ms", "raspberry-pi-5", "c" * 64):
        assert part in text


def test_bundles_of_one_name_are_told_apart(maker):
    maker.solos(3).solos(3, bundle="baseline").duets(8)
    trial = maker.trial()
    bundles = {
        role: bundle.model_copy(update={"name": "net", "target": role}) for role, bundle in trial.bundles.items()
    }
    trial = trial.model_copy(update={"bundles": bundles})
    text = markdown(judge(trial, Budgets()), trial)
    assert "| net, candidate (candidate) | net, baseline (baseline) |" in text


def test_no_key_of_a_manifest_is_shown(maker):
    trial = maker.solos(3).duets(8).trial()
    more = {"golden_max_abs": 0.1, "golden_sqnr_db": 20.0, "samples": 60.0, "max_abs": 0.5}
    trial.bundles["candidate"].parity.update(more)
    trial.bundles["candidate"].accuracy["top1_torch"] = 0.8
    text = markdown(judge(trial, Budgets.model_validate({"top1_agreement": "50 %"})), trial)
    assert not [line for line in text.splitlines() if line.startswith("|") and "_" in line and "x86_64" not in line]
    assert "SQNR 21.5 dB, top-1 agreement 97.0 %, largest error 0.5, on 60 samples" in text
    assert "top1 0.75 (torch 0.8)" in text


def test_settings_are_written_as_people_read_them(maker):
    settings = {"max_ns": 20_000_000_000, "looks": [8, 16], "cpus": [], "gate": {"alpha": 0.01, "looks": [8]}}
    text = markdown(None, maker.solos(3).trial(settings=settings))
    for row in ("max | 20.0 s", "looks | 8 16", "cpus | none", "gate | alpha 0.01, looks 8"):
        assert f"| setting: {row} |" in text


def test_the_level_of_the_bounds_is_said(maker):
    trial = maker.solos(5).duets(8).trial()
    assert "99.75 % confidence" in markdown(judge(trial, Budgets()), trial)


def test_a_bench_without_a_verdict(maker):
    text = markdown(None, maker.solos(3).trial(baseline=False))
    assert text.startswith("# MEASURED: net-int8 (generic-arm64) on lab-pi")
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


def test_each_figure_of_memory_has_its_own_name(maker):
    for peak in (1_000_000, 3_000_000, 2_000_000):
        maker.memory(peak)
    text = markdown(None, maker.solos(3).trial(baseline=False))
    told = "VmHWM while loading 2.00 MB, VmHWM while inferring 2.00 MB, PSS after 1.00 MB"
    assert f"| memory, each figure | {told} |" in text
