"""The files that users paste into their pipelines are what GitHub, GitLab and a POSIX shell take."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from runner.conftest import MakeBundle

CI = Path(__file__).parents[2] / "ci"
ACTIONS = [CI / "github" / "action.yml", CI / "github" / "comment" / "action.yml"]
WORKFLOWS = sorted((CI / "github" / "examples").glob("*.yml"))
GITLAB = CI / "gitlab" / "seatrial.gitlab-ci.yml"
PINNED = re.compile(r"actions/[a-z-]+@[0-9a-f]{40}|YOUR-ORG/seatrial/ci/github(/comment)?@COMMIT")


def read(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)


def steps(path: Path) -> list[dict[str, Any]]:
    found = read(path)
    return found["runs"]["steps"] if "runs" in found else [s for job in found["jobs"].values() for s in job["steps"]]


def run(*argv: str, **rest: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False, **rest)


def check(schema: str, *files: Path, transform: str = "") -> None:
    """Check files against a schema that check-jsonschema carries; nothing is downloaded."""
    argv = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = run(*argv, *(["--data-transform", transform] if transform else []))
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_are_of_their_consumers_schema() -> None:
    assert len(WORKFLOWS) == 5
    check("vendor.github-actions", *ACTIONS)
    check("vendor.github-workflows", *WORKFLOWS)
    check("vendor.gitlab-ci", GITLAB, transform="gitlab-ci")


@pytest.mark.parametrize("path", [*ACTIONS, *WORKFLOWS], ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_actions_are_pinned_and_no_script_holds_an_expression(path: Path) -> None:
    assert [
        step["uses"] for step in steps(path) if not PINNED.fullmatch(step.get("uses", "actions/x@" + "0" * 40))
    ] == []
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_give_inputs_that_the_action_has_and_least_rights(path: Path) -> None:
    known = {"github": set(read(ACTIONS[0])["inputs"]), "comment": set(read(ACTIONS[1])["inputs"])}
    for step in steps(path):
        name = step.get("uses", "").partition("@")[0].rpartition("/")[2]
        assert set(step.get("with", {})) <= known.get(name, set(step.get("with", {})))
    found = read(path)
    assert found["permissions"] == {"contents": "read"}
    assert "pull_request_target" not in str(found["on"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_jobs_that_own_a_device_never_run_a_strangers_code(path: Path) -> None:
    for job in read(path)["jobs"].values():
        if "self-hosted" in job["runs-on"]:
            assert "concurrency" in job
            assert not any("seatrial export" in step.get("run", "") for step in job["steps"])
            assert not any("workflow_run" in str(step.get("with", {}).get("ref", "")) for step in job["steps"])
    fork = read(CI / "github" / "examples" / "fork-export.yml")
    assert [job["runs-on"] for job in fork["jobs"].values()] == ["ubuntu-24.04"]
    assert "secrets." not in str(fork)


def test_shellcheck_finds_nothing(tmp_path: Path) -> None:
    for number, step in enumerate(step for path in [*ACTIONS, *WORKFLOWS] for step in steps(path) if "run" in step):
        (tmp_path / f"{number}.sh").write_text("#!/bin/bash\n" + step["run"])
    scripts = [str(CI / "shell" / "gate.sh"), *map(str, tmp_path.glob("*.sh"))]
    done = run(str(Path(sys.executable).parent / "shellcheck"), *scripts)
    assert done.returncode == 0, done.stdout


def test_the_recipe_is_a_program() -> None:
    assert (CI / "shell" / "gate.sh").stat().st_mode & 0o111


@pytest.mark.slow
@pytest.mark.parametrize(("limits", "code"), [("latency_p50: 1 s", 0), ("latency_p50: 1 ns", 1)])
def test_the_script_of_gitlab_runs(
    tmp_path: Path, environment: dict[str, str], make_bundle: MakeBundle, limits: str, code: int
) -> None:
    (tmp_path / ".seatrial" / "bin").mkdir(parents=True)
    (tmp_path / ".seatrial" / "bin" / "seatrial").symlink_to(Path(sys.executable).parent / "seatrial")
    (tmp_path / "my budgets.yaml").write_text(limits)
    job = read(GITLAB)[".seatrial-gate"]
    own = {**job["variables"], "SEATRIAL_CANDIDATE": str(make_bundle().path), "SEATRIAL_BUDGETS": "my budgets.yaml"}
    script = "\n".join(["set -eu", *job["script"]])
    done = run("sh", "-c", script, cwd=tmp_path, env=environment | own)
    assert done.returncode == code, done.stdout + done.stderr
    for report in job["artifacts"]["reports"].values():
        assert (tmp_path / report).stat().st_size > 100


def test_each_recipe_is_in_the_readme() -> None:
    text = (CI / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert [link for link in links if not link.startswith("http") and not (CI / link).exists()] == []
    files = [
        path for room in ("github", "gitlab", "jenkins", "shell") for path in (CI / room).rglob("*") if path.is_file()
    ]
    told = {(CI / link).resolve() for link in links}
    assert [path for path in files if path.suffix in (".yml", ".sh", "") and path.resolve() not in told] == []
    for option in set(re.findall(r"--seatrial-[a-z]+", text)):
        assert option in (CI.parent / "sdk" / "seatrial" / "testing" / "plugin.py").read_text(encoding="utf-8")
    assert set(re.findall(r"`([a-z-]+)` \|", text.partition("| input |")[2].partition("\n\n")[0])) <= set(
        read(ACTIONS[0])["inputs"]
    )
