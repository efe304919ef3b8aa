"""What the documents say is so: links lead somewhere, commands run, the changelog knows the version."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import seatrial
from seatrial.cli import TABLE
from seatrial_targets.budgets import Budgets
from seatrial_targets.inventory import Inventory
from seatrial_targets.located import loads

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")
FENCE = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, kind: str) -> list[str]:
    return [body for language, _, body in FENCE.findall(text(name)) if language == kind]


def files(name: str) -> dict[str, str]:
    """Return the blocks that are files: name to content."""
    return {file: body for _, file, body in FENCE.findall(text(name)) if file}


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets: lower case, no punctuation, hyphens for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def links(name: str) -> list[str]:
    without_code = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text(name), flags=re.MULTILINE | re.DOTALL)
    return LINK.findall(without_code)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_relative_links_lead_to_files_and_headings(name: str) -> None:
    broken = []
    for link in links(name):
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, heading = link.partition("#")
        target = ROOT / path if path else ROOT / name
        if not target.exists():
            broken.append(link)
        elif heading:
            known = {anchor(h) for h in re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)}
            broken += [link] if heading not in known else []
    assert broken == []


def test_there_are_links_to_check() -> None:
    assert {"CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "benchmarks/RESULTS.md"} <= set(links("README.md"))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_paths_that_are_named_exist(name: str) -> None:
    named = re.findall(r"`((?:targets|device_runner|ci|sdk|tests|benchmarks)/[\w./-]+)`", text(name))
    placeholders = [path for path in named if "NAME" not in path]
    assert [path for path in placeholders if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_commands_that_are_named_exist(name: str) -> None:
    called = re.findall(
        r"\bseatrial ([a-z]+)\b",
        "\n".join(
            re.findall(r"`([^`\n]+)`|^\$ (.+)$", text(name))
            and [part for pair in re.findall(r"`([^`\n]+)`|^\$ (.+)$", text(name), re.MULTILINE) for part in pair]
        ),
    )
    assert set(called) <= set(TABLE)
    made = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text(name))) <= made


def test_the_files_of_the_readme_are_valid() -> None:
    found = files("README.md")
    budgets = loads(found["budgets.yaml"], "budgets.yaml", Budgets)
    assert budgets.latency_p90_ns == 200_000_000
    assert loads(found["devices.yaml"], "devices.yaml", Inventory).get("lab-pi").user == "bench"
    compile(found["my_model.py"], "my_model.py", "exec")


def test_every_command_is_in_the_readme() -> None:
    shown = set(re.findall(r"\bseatrial ([a-z]+)\b", text("README.md")))
    assert set(TABLE) - shown == {"report"}


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the commands of the README are for x86-64")
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    """Each block of `sh` runs as it stands, in order, in a folder that holds the files that the README shows."""
    for name, body in files("README.md").items():
        (tmp_path / name).write_text(body)
    home = tmp_path / "home"
    home.mkdir()
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    environment |= {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    run = blocks("README.md", "sh")
    assert len(run) == 2
    for block in run:
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "verdict.html").stat().st_size > 1000


def test_the_changelog_knows_the_version() -> None:
    assert re.search(rf"^## \[{re.escape(seatrial.__version__)}\]", text("CHANGELOG.md"), re.MULTILINE)


def test_the_words_of_the_readme_are_one_table() -> None:
    for word in ("target", "device", "bundle", "run", "duet", "trial", "verdict"):
        assert f"\n| {word} |" in text("README.md")


def test_the_readme_claims_no_exporter_that_is_not_there() -> None:
    from seatrial.exporters import TABLE as EXPORTERS
    from seatrial_targets import registry

    without = {registry.get(name).runtime.name for name in registry.names()} - set(EXPORTERS)
    (row,) = [line for line in text("README.md").splitlines() if line.startswith("| Profile only")]
    assert {word for word in ("onnxruntime", "tensorrt", "coreml") if f"`{word}`" in row} == without


def test_the_yaml_of_the_readme_is_yaml() -> None:
    assert all(yaml.safe_load(body) for body in blocks("README.md", "yaml"))
