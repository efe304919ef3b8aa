"""gate --policy and baseline on this machine: real agent, real ONNX Runtime, real files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import junitparser
import pytest

from peers.program import QUICK, Call
from seatrial_runner.bundle import Bundle

from .conftest import TARGET

MakeBundle = Callable[..., Bundle]
POLICY = """\
name: small
models:
  chain: {candidate: "CANDIDATE"}
devices: [local]
metrics:
  latency_p50: {budget: 10 s}
  peak_memory: {budget: 1 GB, severity: warn}
"""


@pytest.fixture
def policy(home: Path, make_bundle: MakeBundle) -> Path:
    """A policy of one model on this machine, which any machine keeps."""
    path = Path("gate.yaml")
    path.write_text(POLICY.replace("CANDIDATE", str(make_bundle().path)))
    return path


def test_a_policy_is_measured_judged_and_judged_again(call: Call, policy: Path) -> None:
    live = call("gate", "--policy", policy, "--junit", "j.xml", "--json", *QUICK)
    assert live.code == 0, live.err
    assert live.document["outcome"] == "PASS"
    assert [verdict["model"] for verdict in live.document["verdicts"]] == ["chain"]
    assert junitparser.JUnitXml.fromfile("j.xml").tests == 2
    assert json.loads(Path("trials/small/verdict.json").read_text())["policy"]["outcome"] == "PASS"
    again = call("gate", "--policy", policy, "--from", "trials/small", "--json")
    drop = {"files", "exit_code"}
    assert {k: v for k, v in again.document.items() if k not in drop} == {
        k: v for k, v in live.document.items() if k not in drop
    }


def test_resume_takes_what_is_finished(call: Call, policy: Path) -> None:
    assert call("gate", "--policy", policy, *QUICK).code == 0
    written = Path("trials/small/chain@local.json").stat().st_mtime_ns
    assert call("gate", "--policy", policy, "--resume", *QUICK).code == 0
    assert Path("trials/small/chain@local.json").stat().st_mtime_ns == written


def test_the_plan_measures_nothing(call: Call, policy: Path) -> None:
    said = call("gate", "--policy", policy, "--plan", *QUICK)
    assert said.code == 0, said.err
    assert "chain" in said.out
    assert TARGET in said.out
    assert not Path("trials").exists()


def test_a_device_that_fails_is_invalid_and_the_others_go_on(call: Call, make_bundle: MakeBundle) -> None:
    make_bundle()
    devices = f"devices:\n  gone: {{target: {TARGET}, transport: ssh, address: 127.0.0.1, port: 1}}\n"
    Path("devices.yaml").write_text(devices)
    path = Path("gate.yaml")
    path.write_text(POLICY.replace("CANDIDATE", str(make_bundle().path)).replace("[local]", "[gone, local]"))
    said = call("gate", "--policy", path, "--json", *QUICK)
    assert said.code == 3
    outcomes = {verdict["device"]: verdict["outcome"] for verdict in said.document["verdicts"]}
    assert outcomes == {"gone": "INVALID", "local": "PASS"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("local", "lokal", "did you mean 'local'"),
        ("10 s", "10", "has no unit"),
        ("peak_memory: {budget: 1 GB, severity: warn}", "accuracy: {top1: {budget: 0.5}}", "does not state"),
        ("latency_p50: {budget: 10 s}", "latency_p50: {margin: 5 %}", "has no baseline"),
        ('{candidate: "', '{candidate: "no/such', "no/such"),
    ],
)
def test_what_can_be_known_to_be_wrong_is_said_before_measuring(
    call: Call, policy: Path, old: str, new: str, said: str
) -> None:
    policy.write_text(policy.read_text().replace(old, new))
    answer = call("gate", "--policy", policy, *QUICK)
    assert answer.code == 2
    assert said in answer.err
    assert not list(Path().glob("trials/*/*.json"))


def test_a_policy_names_everything_itself(call: Call, policy: Path) -> None:
    assert "leave --device out" in call("gate", "--policy", policy, "--device", "local").err
    assert "belongs to a policy" in call("gate", "x", "--device", "local", "--plan").err
    assert "no trial" in call("gate", "--policy", policy, "--from", ".").err


def test_a_percentile_that_the_plan_can_not_support_gets_more_or_says_so(call: Call, policy: Path) -> None:
    policy.write_text(policy.read_text().replace("latency_p50", "latency_p90"))
    answer = call("gate", "--policy", policy, "--iterations", 20)
    assert answer.code == 2
    assert "latency p90 needs --iterations 64" in answer.err


def test_a_baseline_is_kept_found_used_and_removed(call: Call, make_bundle: MakeBundle) -> None:
    made = make_bundle()
    Path("budgets.yaml").write_text("latency_p50: 10 s\n")
    out = "trial.json"
    assert call("gate", made.path, "--device", "local", "--budgets", "budgets.yaml", "--out", out, *QUICK).code == 0
    refused = call("baseline", "add", made.path, "--branch", "main", "--history", "another.sqlite")
    assert refused.code == 2
    assert "nothing is known of its own gate" in refused.err
    assert call("baseline", "add", made.path, "--branch", "main", "--trial", out).code == 0
    assert call("baseline", "add", made.path, "--tag", "v1").code == 0  # the history knows of its gate
    listed = call("baseline", "list").out
    assert "branch:main" in listed
    assert "PASS" in listed
    Path("gate.yaml").write_text(
        POLICY.replace('"CANDIDATE"', f'"{make_bundle("chain").path}", baseline: "branch:main"').replace(
            "{budget: 10 s}", "{margin: 90 %}"
        )
    )
    said = call("gate", "--policy", "gate.yaml", "--plan")
    assert said.code == 0, said.err
    assert "branch:main" in said.out
    got = call("baseline", "get", "branch:main", "--model", "chain", "--target", TARGET, "--out", "copy")
    assert got.code == 0, got.err
    assert Bundle.open("copy").digest == made.digest
    assert call("baseline", "remove", made.digest[:12], "--yes").code == 0
    assert "nothing yet" in call("baseline", "list").out


def test_a_trial_of_another_bundle_proves_nothing(call: Call, make_bundle: MakeBundle) -> None:
    one, other = make_bundle("one"), make_bundle("other", depth=6)
    Path("budgets.yaml").write_text("latency_p50: 10 s\n")
    assert call("gate", one.path, "--device", "local", "--budgets", "budgets.yaml", "--out", "t.json", *QUICK).code == 0
    said = call("baseline", "add", other.path, "--tag", "v1", "--trial", "t.json")
    assert said.code == 2
    assert "is a trial of another bundle" in said.err
