"""bench, gate, report and history on this machine: real agent, real ONNX Runtime, real files."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import junitparser
import numpy as np
import pytest

from cli.conftest import TARGET
from peers.program import QUICK, Call, in_a_process, on_a_terminal
from runner.conftest import bundle_maker
from seatrial.commands.options import plan_changes
from seatrial_ci.gate import load_trial
from seatrial_runner.bundle import Bundle, canonical
from seatrial_runner.transport.transcript import read_transcript

MakeBundle = Callable[..., Bundle]
ROOMY = "latency_p50: 10 s\npeak_memory: 1 GB\nsize: 1 MB\n"
TIGHT = "latency_p50: 1 ns\n"


@pytest.fixture
def roomy(home: Path) -> Path:
    """Budgets that the small model keeps on any machine."""
    Path("roomy.yaml").write_text(ROOMY)
    return Path("roomy.yaml")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What a gate of a bundle that passes has recorded."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "roomy.yaml").write_text(ROOMY)
    words = ("--device", "local", "--budgets", folder / "roomy.yaml", "--out", folder / "trial.json", "--no-history")
    said = in_a_process("gate", bundle_maker(folder)().path, *words, *QUICK, HOME=str(folder))
    assert said.code == 0, said.err
    return (folder / "trial.json").read_bytes()


@pytest.fixture
def trial(home: Path, recorded: bytes) -> Path:
    """A recorded trial of a bundle that passes, and its budgets."""
    Path("roomy.yaml").write_text(ROOMY)
    Path("trial.json").write_bytes(recorded)
    return Path("trial.json")


def test_bench_keeps_a_trial_of_each_bundle_and_shows_one_table(call: Call, make_bundle: MakeBundle) -> None:
    said = call("bench", make_bundle("new").path, make_bundle("old", depth=8).path, "--device", "local", *QUICK)
    assert said.code == 0, said.err
    assert said.err == ""
    assert "new, fp32" in said.out
    assert "old, fp32" in said.out
    for row in ("size", "latency p50", "cold load", "peak memory", "energy per inference", "parity with torch"):
        assert f"\n{row}" in said.out
    for name in ("new", "old"):
        kept = load_trial(Path(f"trials/{name}@local.json"))
        assert [run.kind for run in kept.runs] == ["memory", "solo", "solo"]
        assert len(kept.runs[1].result.arms["a"].wall_ns) == 64


def test_bench_records_what_the_device_said(call: Call, make_bundle: MakeBundle) -> None:
    said = call("bench", make_bundle().path, "--device", "local", "--record", "device.jsonl", *QUICK)
    assert said.code == 0, said.err
    assert len(read_transcript(Path("device.jsonl"))) > 5


def test_bench_as_json_is_one_document(program: Call, make_bundle: MakeBundle) -> None:
    said = program("bench", make_bundle().path, "--device", "local", "--out", "kept.json", "--json", *QUICK)
    assert said.code == 0, said.err
    (entry,) = said.document["trials"]
    assert entry["file"] == "kept.json"
    assert entry["id"] == load_trial(Path("kept.json")).id
    assert entry["summary"]["bundles"][0]["latency"]["p50"]["value"] > 0
    assert said.err == ""


def test_a_gate_passes_and_leaves_what_it_says(call: Call, make_bundle: MakeBundle, roomy: Path) -> None:
    reports = {kind: Path(f"out/{kind}") for kind in ("junit", "markdown", "html", "verdict-json")}
    options = [word for kind, path in reports.items() for word in (f"--{kind}", path)]
    said = call("gate", make_bundle().path, "--device", "local", "--budgets", roomy, *options, *QUICK)
    assert said.code == 0, said.err
    assert re.search(r"^PASS: chain \(\S+-fp32\) on local$", said.out, re.MULTILINE)
    for path in (*reports.values(), Path("trials/chain@local.json")):
        assert str(path) in said.out
        assert path.stat().st_size > 100
    assert junitparser.JUnitXml.fromfile(str(reports["junit"])).failures == 0
    assert json.loads(reports["verdict-json"].read_text())["verdict"]["outcome"] == "PASS"
    assert "<html" in reports["html"].read_text()


def test_a_gate_fails_what_is_over_its_budget(call: Call, make_bundle: MakeBundle) -> None:
    Path("tight.yaml").write_text(TIGHT)
    said = call("gate", make_bundle().path, "--device", "local", "--budgets", "tight.yaml", "--json", *QUICK)
    assert said.code == 1
    assert said.document["outcome"] == "FAIL"
    assert said.document["exit_code"] == 1
    assert said.document["checks"][0]["low"] > 1


@pytest.mark.slow
def test_a_gate_beside_a_baseline_shows_its_evidence(call: Call, make_bundle: MakeBundle) -> None:
    new, old = make_bundle("new", depth=2), make_bundle("old", depth=60)
    said = call("gate", new.path, "--baseline", old.path, "--device", "local", "--looks", "8", *QUICK)
    assert said.code == 0, said.out + said.err
    assert "8 pairs" in said.out
    again = call("gate", "--from", "trials/new@local.json", "--json")
    assert again.document["checks"][0]["pairs"] == 8
    assert load_trial(Path("trials/new@local.json")).settings["gate"]["looks"] == [8]
    worse = call("gate", old.path, "--baseline", new.path, "--device", "local", "--looks", "8", "--json", *QUICK)
    assert worse.code == 1
    (check,) = worse.document["checks"]
    assert check["metric"] == "latency_regression"
    assert check["value"] > 1
    assert check["pairs"] == 8


def test_what_was_recorded_gets_the_same_verdict(call: Call, trial: Path) -> None:
    live = call("gate", "--from", trial, "--json")
    again = call("gate", "--from", trial, "--json")
    assert live.code == 0
    assert live.document == again.document
    Path("tight.yaml").write_text(TIGHT)
    assert call("gate", "--from", trial, "--budgets", "tight.yaml").code == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--from", "trial.json", "--baseline", "x"],
        ["x", "--from", "trial.json"],
        ["--from", "trial.json", "--resume"],
        ["--from", "trial.json", "--runs", "9"],
        ["--device", "local"],
        ["x"],
        ["x", "--device", "local", "--looks", "16,8"],
        ["x", "--device", "local", "--looks", "1"],
        ["x", "--device", "local", "--junit", "same", "--html", "same"],
        ["x", "--device", "local", "--html", "."],
    ],
    ids=" ".join,
)
def test_contradictions_are_wrong_usage(call: Call, words: list[str]) -> None:
    said = call("gate", *words)
    assert said.code == 2
    assert said.err.startswith("error: ")
    assert not Path("trials/x@local.json").exists()


def test_a_truncated_trial_is_refused(call: Call, trial: Path) -> None:
    trial.write_bytes(trial.read_bytes()[:-100])
    said = call("gate", "--from", trial)
    assert said.code == 2
    assert "trial.json" in said.err


def test_a_wrong_output_is_never_timed_and_still_leaves_a_report(call: Call, make_bundle: MakeBundle) -> None:
    wrong = make_bundle("wrong", golden=np.ones((1, 64), dtype=np.float32))
    Path("roomy.yaml").write_text(ROOMY)
    words = ("--device", "local", "--budgets", "roomy.yaml", "--junit", "j.xml", "--out", "t.json")
    said = call("gate", wrong.path, *words, *QUICK)
    assert said.code == 3
    assert "differs from the golden output" in said.err
    assert junitparser.JUnitXml.fromfile("j.xml").errors > 0
    kept = load_trial(Path("t.json"))
    assert all(not arm.wall_ns for run in kept.runs if run.result for arm in run.result.arms.values())


def test_a_bundle_for_another_machine_is_refused(call: Call, make_bundle: MakeBundle) -> None:
    foreign = make_bundle("foreign", target="armv7-cpu-fp32")
    said = call("bench", foreign.path, "--device", "local", *QUICK)
    assert said.code == 2
    assert "armv7l" in said.err


def test_runs_stay_on_the_cpus_asked_for(call: Call, make_bundle: MakeBundle) -> None:
    said = call("bench", make_bundle().path, "--device", "local", "--out", "kept.json", "--cpus", "0", *QUICK)
    assert said.code == 0, said.err
    assert {run.result.cpus for run in load_trial(Path("kept.json")).runs} == {1}


def test_cpus_that_the_device_lacks_are_the_users_fault(call: Call, make_bundle: MakeBundle) -> None:
    said = call("bench", make_bundle().path, "--device", "local", "--cpus", "1000", *QUICK)
    assert said.code == 2
    assert "pinned to the CPUs asked for" in said.err


def test_what_is_before_the_error_is_shown(call: Call, make_bundle: MakeBundle) -> None:
    foreign = make_bundle("foreign", target="armv7-cpu-fp32")
    said = call("bench", make_bundle("good").path, foreign.path, "--device", "local", "--out", "kept", *QUICK)
    assert said.code == 2
    assert "good, fp32" in said.out
    assert "trial: kept/good@local.json" in said.out


def test_what_is_asked_for_is_in_the_plan() -> None:
    nothing = dict.fromkeys(inspect.signature(plan_changes).parameters)
    assert plan_changes(**nothing) == {}
    assert plan_changes(**nothing | {"warmup_seconds": 0.1}) == {
        "warmup_max_ns": 100_000_000,
        "warmup_min_ns": 100_000_000,
        "duet_warmup_max_ns": 100_000_000,
    }
    # 64 inferences of a second each must fit, or no p90 could ever be had of a slow model.
    assert plan_changes(**nothing | {"iterations": 64})["max_ns"] > 64 * 10**9
    assert plan_changes(**nothing | {"run_seconds": 10.0})["max_ns"] < 10 * 10**9


def test_nothing_to_resume(call: Call, make_bundle: MakeBundle) -> None:
    said = call("bench", make_bundle().path, "--device", "local", "--resume", *QUICK)
    assert said.code == 2
    assert "no unfinished trial" in said.err


def test_report_writes_what_is_asked_for(call: Call, trial: Path) -> None:
    said = call("report", trial, "--html", "page/r.html", "--markdown", "r.md", "--json")
    assert said.code == 0
    assert said.document["files"] == {"trial": "trial.json", "html": "page/r.html", "markdown": "r.md"}
    assert Path("page/r.html").stat().st_size > 1000
    assert "PASS" in Path("r.md").read_text()


def test_report_of_a_failure_is_no_failure(call: Call, trial: Path) -> None:
    Path("tight.yaml").write_text(TIGHT)
    said = call("report", trial, "--budgets", "tight.yaml", "--junit", "j.xml")
    assert said.code == 0
    assert "\nFAIL: " in said.out


def test_history_has_a_line_for_each_live_gate(call: Call, make_bundle: MakeBundle, roomy: Path) -> None:
    trial = Path("trial.json")
    live = call("gate", make_bundle().path, "--device", "local", "--budgets", roomy, "--out", trial, *QUICK)
    assert live.code == 0, live.err
    call("gate", "--from", trial)
    (entry,) = call("history", "list", "--json").document
    assert entry["outcome"] == "PASS"
    assert entry["trial_id"] == load_trial(trial).id
    assert call("history", "list").out.count(entry["trial_id"][:8]) == 1
    assert call("history", "list", "--device", "other", "--json").document == []


def test_no_history_keeps_nothing(call: Call, make_bundle: MakeBundle, roomy: Path) -> None:
    call("gate", make_bundle().path, "--device", "local", "--budgets", roomy, "--no-history", *QUICK)
    assert call("history", "list", "--json").document == []
    assert "nothing yet" in call("history", "list").out


def test_a_history_that_can_not_be_written_changes_no_verdict(call: Call, make_bundle: MakeBundle, roomy: Path) -> None:
    Path("folder").mkdir()
    words = ("--device", "local", "--budgets", roomy, "--history", "folder")
    said = call("gate", make_bundle().path, *words, *QUICK)
    assert said.code == 0
    assert "warning: the verdict is not in the history" in said.err


def test_progress_is_drawn_on_a_terminal_and_gone_at_the_end(make_bundle: MakeBundle) -> None:
    code, printed = on_a_terminal("bench", make_bundle().path, "--device", "local", *QUICK)
    assert code == 0
    assert b"solo runs" in printed
    last_screen = printed.rpartition(b"\x1b[2K")[2]
    assert b"solo runs" not in last_screen
    assert b"latency p50" in last_screen


def test_a_bundle_of_another_version_is_wrong_usage_not_a_defect(call: Call, make_bundle: MakeBundle) -> None:
    path = make_bundle().path
    raw = json.loads((path / "manifest.json").read_text())
    raw.pop("digest")
    raw["profile"]["invented_later"] = 1
    (path / "manifest.json").write_text(json.dumps({"digest": sha256(canonical(raw)).hexdigest(), **raw}))
    for words in (("bench", path), ("gate", path), ("gate", path, "--budgets", "roomy.yaml")):
        Path("roomy.yaml").write_text(ROOMY)
        said = call(*words, "--device", "local", *QUICK)
        assert said.code == 2
        assert "its target can't be read: invented_later" in said.err
        assert "defect" not in said.err


def test_operators_that_fell_back_fail_a_gate_that_asks_for_none(call: Call, make_bundle: MakeBundle) -> None:
    """ONNX Runtime's own library carries a second provider that takes no operator: all fall back to the CPU."""
    Path("targets").mkdir()
    same = f"extends: {TARGET}\nsummary: all on another provider\nruntime:\n  providers: [AzureExecutionProvider]\n"
    Path("targets/elsewhere.yaml").write_text(same)
    Path("none.yaml").write_text("max_fallback_ops: 0\n")
    words = ("--device", "local", "--budgets", "none.yaml", *QUICK, "--memory-runs", "0")
    said = call("gate", make_bundle(target="elsewhere").path, *words, "--out", "elsewhere.json")
    assert said.code == 1, said.err
    assert "4 operators ran elsewhere than the target promises, over 0" in said.out
    assert "at most 0" in said.out
    assert "1 profile runs" in said.err
