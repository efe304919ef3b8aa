"""The GitHub Action: its steps run as the runner runs them, on this machine, with a real bundle."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.conftest import MakeBundle

ROOT = Path(__file__).parents[2]
ACTION = ROOT / "ci" / "github" / "action.yml"
QUICK = "--runs=4\n--iterations=60\n--memory-runs=0\n--warmup-seconds=0.01\n--no-history\n"
GENEROUS, MEAN, UNMEASURED = "latency_p50: 1 s", "latency_p50: 1 ns", "latency_p50: 1 s\nenergy_per_inference: 1 mJ"
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


@dataclass
class Done:
    """What a job of one action leaves: each step's exit code, the outputs, the summary, the log."""

    codes: dict[str, int]
    outputs: dict[str, str]
    summary: str
    log: str


Act = Callable[..., Done]


def load() -> dict[str, Any]:
    return yaml.safe_load(ACTION.read_text(encoding="utf-8"))


def filled(text: str, names: dict[str, str]) -> str:
    return EXPRESSION.sub(lambda found: names[found[1]], text)


@pytest.fixture
def act(tmp_path: Path, environment: dict[str, str]) -> Act:
    """Run the steps `Gate` and `Decide`; the installation is that of the tests."""
    work = tmp_path / "work"
    work.mkdir()
    venv = tmp_path / "seatrial-venv" / "bin"
    venv.mkdir(parents=True)
    (venv / "seatrial").symlink_to(Path(sys.executable).parent / "seatrial")

    def run(**inputs: str) -> Done:
        action, done = load(), Done({}, {}, "", "")
        files = {name: tmp_path / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("")
        names = {
            f"inputs.{name}": inputs.get(name.replace("-", "_"), field["default"])
            for name, field in action["inputs"].items()
        }
        names |= {"github.action_path": str(ACTION.parent), "runner.temp": str(tmp_path)}
        for step in action["runs"]["steps"]:
            if step["name"] not in ("Gate", "Decide") or (step["name"] == "Decide" and not done.outputs.get("reports")):
                continue
            names |= {f"steps.gate.outputs.{name}": value for name, value in done.outputs.items()}
            own = {key: filled(value, names) for key, value in step["env"].items()}
            ran = subprocess.run(
                ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
                cwd=work,
                env=environment | {"GITHUB_ACTIONS": "true"} | {k: str(v) for k, v in files.items()} | own,
                capture_output=True,
                text=True,
                check=False,
            )
            done.codes[step["name"]] = ran.returncode
            done.log += ran.stdout + ran.stderr
            done.outputs = dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
            done.summary = files["GITHUB_STEP_SUMMARY"].read_text()
        return done

    return run


@pytest.fixture
def ask(act: Act, make_bundle: MakeBundle, tmp_path: Path) -> Act:
    """Run the action on a small real bundle with ``limits``."""
    bundle = make_bundle().path

    def run(limits: str = GENEROUS, **inputs: str) -> Done:
        (tmp_path / "work" / "budgets.yaml").write_text(limits)
        given = {"candidate": str(bundle), "device": "local", "budgets": "budgets.yaml", "options": QUICK}
        return act(**given | inputs)

    return run


@pytest.mark.parametrize(("limits", "verdict", "code"), [(GENEROUS, "PASS", 0), (MEAN, "FAIL", 1)])
def test_outputs_summary_and_exit_code_are_the_verdicts(
    ask: Act, tmp_path: Path, limits: str, verdict: str, code: int
) -> None:
    done = ask(limits)
    assert done.codes == {"Gate": 0, "Decide": code}, done.log
    assert done.outputs == {"verdict": verdict, "exit-code": str(code), "reports": "seatrial-out"}
    assert verdict in done.summary
    assert "chain" in done.summary
    assert ("::error title=" in done.log) == (verdict != "PASS")
    kept = {path.name for path in (tmp_path / "work" / "seatrial-out").iterdir()}
    wanted = {"trial.json", "verdict.json", "verdict.md", "verdict.html", "comment.md", "metrics.txt", "junit.xml"}
    assert wanted <= kept


def test_a_verdict_that_is_allowed_lets_the_job_go_on_and_is_still_said(ask: Act) -> None:
    done = ask(UNMEASURED, allow="INCONCLUSIVE, INVALID")
    assert done.codes == {"Gate": 0, "Decide": 0}
    assert done.outputs == {"verdict": "INVALID", "exit-code": "3", "reports": "seatrial-out"}
    assert "INVALID" in done.summary
    assert "::error title=" in done.log


def test_a_device_that_can_not_be_reached_is_invalid_and_leaves_a_summary(ask: Act, tmp_path: Path) -> None:
    devices = "devices:\n  gone: {target: x86-64-cpu-fp32, transport: ssh, address: 127.0.0.1, port: 1, user: me}\n"
    (tmp_path / "work" / "devices.yaml").write_text(devices)
    done = ask(device="gone")
    assert done.codes["Decide"] == 3
    assert done.outputs["verdict"] == "INVALID"
    assert "INVALID" in done.summary


@pytest.mark.slow
def test_a_failed_start_never_reads_the_verdict_of_an_earlier_one(ask: Act) -> None:
    assert ask().codes["Decide"] == 0
    assert ask(device="no-such").codes["Decide"] == 2


@pytest.mark.slow
def test_a_policy_is_judged_twice_in_the_same_folder(ask: Act, tmp_path: Path, make_bundle: MakeBundle) -> None:
    (tmp_path / "work" / "gate.yaml").write_text(
        f"models: {{chain: {{candidate: {make_bundle('again').path}}}}}\n"
        "devices: [local]\nmetrics:\n  latency_p50: {budget: 1 s}\n"
    )
    for _ in range(2):
        options = QUICK.replace("--no-history\n", "")
        done = ask(candidate="", device="", budgets="", policy="gate.yaml", options=options)
        assert done.codes == {"Gate": 0, "Decide": 0}, done.log
        assert done.outputs["verdict"] == "PASS"


@pytest.mark.parametrize("options", ["--help", "--version"])
def test_an_option_that_measures_nothing_passes_nothing(ask: Act, options: str) -> None:
    done = ask(options=options)
    assert done.outputs["verdict"] != "PASS"
    assert done.codes["Decide"] != 0


HOSTILE = ['"; touch pwned; " $(touch pwned) `touch pwned` \'; touch pwned #', "a\ntouch pwned\nverdict=PASS", "--help"]


@pytest.mark.parametrize(
    "name", ["candidate", "baseline", "device", "devices", "policy", "budgets", "options", "allow", "out"]
)
@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_input_is_only_a_wrong_one(fake: Act, tmp_path: Path, name: str, value: str) -> None:
    """A program that only says its arguments takes the place of the real one: the shell between is what is tested."""
    done = fake(**{name: value})
    assert not list(tmp_path.rglob("pwned"))
    assert done.outputs.get("verdict") in {None, "INVALID", "USAGE"}
    assert done.codes.get("Decide", done.codes["Gate"]) != 0


@pytest.fixture
def fake(act: Act, tmp_path: Path) -> Act:
    """The action with a program that ends with 0 and writes no verdict."""
    program = tmp_path / "seatrial-venv" / "bin" / "seatrial"
    program.unlink()
    program.write_text("#!/bin/sh\nprintf '<%s>\\n' \"$@\"\n")
    program.chmod(0o755)
    return act


def test_a_value_reaches_the_program_whole(fake: Act) -> None:
    done = fake(candidate="-x y", device="a  b*", options="--runs=4\n\n--threads=2")
    assert "<--device=a  b*>" in done.log
    assert "<--threads=2>\n<-->\n<-x y>" in done.log


def test_no_script_holds_an_expression() -> None:
    """What `${{ }}` puts into a script is parsed by the shell."""
    scripts = [step["run"] for step in load()["runs"]["steps"] if "run" in step]
    assert len(scripts) == 3
    assert [script for script in scripts if EXPRESSION.search(script)] == []


@pytest.mark.parametrize("version", ["1.0; touch pwned", "1.0 --index-url=x", "-r x", "$(touch pwned)", "1.0\n2"])
def test_a_version_that_is_none_is_refused(tmp_path: Path, environment: dict[str, str], version: str) -> None:
    (step,) = [step for step in load()["runs"]["steps"] if step["name"] == "Install Seatrial"]
    done = subprocess.run(
        ["bash", "-c", step["run"]],
        cwd=tmp_path,
        env=environment | {"VERSION": version, "SOURCE": "none", "PLACE": str(tmp_path / "venv")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "must be a version" in done.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"home"}
