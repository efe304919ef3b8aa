"""What the documents say is so: links lead somewhere, commands run, the changelog knows the version."""

from __future__ import annotations

import os
import platform
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

import seatrial
from seatrial.cli import TABLE, cli
from seatrial_ci.policy import Policy
from seatrial_targets.budgets import Budgets
from seatrial_targets.inventory import Inventory
from seatrial_targets.located import loads

ROOT = Path(__file__).parents[2]
PAGES = sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "ci/README.md", *PAGES)
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
        target = (ROOT / name).parent / path if path else ROOT / name
        if not target.exists():
            broken.append(link)
        elif heading and "<!-- generated: " not in target.read_text(encoding="utf-8"):  # MkDocs checks those
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


def command_lines(name: str) -> list[list[str]]:
    """Return the words of each call of `seatrial` in a document: in its blocks, and in its text where it is whole."""
    blocks_of_it = [body for language, _, body in FENCE.findall(text(name)) if language in ("sh", "console")]
    lines = [line.removeprefix("$ ") for body in blocks_of_it for line in body.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"(?<!`)`(seatrial [^`\n]+)`(?!`)", text(name))
    found = (shlex.split(line, comments=True) for line in lines if line.startswith("seatrial "))
    return [words[: words.index("|")] if "|" in words else words for words in found]


def wrong_words(words: list[str]) -> list[str]:
    """Return the commands and options in ``words`` that the program does not have."""
    command: click.Command = cli
    for place, word in enumerate(words[1:], 1):
        if isinstance(command, click.Group) and re.fullmatch(r"[a-z]+", word):
            found = command.get_command(click.Context(command), word)
            if found is None:
                return words[: place + 1]
            command = found
        elif word.startswith("--"):
            known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}
            if word.partition("=")[0] not in known:
                return [*words[:2], word]
    return []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_and_options_that_are_named_exist(name: str) -> None:
    assert [wrong for words in command_lines(name) if (wrong := wrong_words(words))] == []
    made = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)|^\$ make ([a-z-]+)", text(name), re.MULTILINE)) <= {
        pair for target in made for pair in ((target, ""), ("", target))
    }


def test_a_command_that_does_not_exist_is_found() -> None:
    assert wrong_words(["seatrial", "devices", "chekc", "pi"])
    assert wrong_words(["seatrial", "gate", "--budget", "b.yaml"])
    assert not wrong_words(["seatrial", "gate", "--from", "trial.json"])
    assert len(command_lines("README.md")) > 10


def test_the_files_of_the_readme_are_valid() -> None:
    found = files("README.md")
    budgets = loads(found["budgets.yaml"], "budgets.yaml", Budgets)
    assert budgets.latency_p90_ns == 200_000_000
    assert loads(found["devices.yaml"], "devices.yaml", Inventory).get("lab-pi").user == "bench"
    compile(found["my_model.py"], "my_model.py", "exec")


def test_every_command_is_in_the_readme() -> None:
    shown = set(re.findall(r"\bseatrial ([a-z]+)\b", text("README.md")))
    assert set(TABLE) - shown == {"report"}


def run_blocks(name: str, folder: Path) -> int:
    """Run each block of `sh` of a document as it stands, in a folder that holds the files that it shows."""
    for path, body in files(name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(body)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    environment |= {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    run = blocks(name, "sh")
    for block in run:
        done = subprocess.run(
            ["bash", "-euxo", "pipefail", "-c", block],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
    return len(run)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the commands of the README are for x86-64")
def test_the_commands_of_the_readme_run(tmp_path: Path) -> None:
    assert run_blocks("README.md", tmp_path) == 2
    assert (tmp_path / "verdict.html").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the commands of the documentation are for x86-64")
def test_the_commands_of_the_documentation_run(tmp_path: Path) -> None:
    """All pages in one folder, in the order of the site: later ones go on with what earlier ones left."""
    assert sum(run_blocks(f"docs/{page}", tmp_path) for page in in_nav()) >= 4
    assert (tmp_path / "verdict.html").stat().st_size > 1000


def in_nav() -> list[str]:
    """Return the pages of the site, in the order of its navigation."""

    def pages(node: object) -> Iterator[str]:
        if isinstance(node, str):
            yield node
        else:
            for inner in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
                yield from pages(inner)

    return list(pages(yaml.safe_load(text("mkdocs.yml"))["nav"]))


@pytest.mark.parametrize("name", PAGES)
def test_the_files_of_a_page_are_valid(name: str) -> None:
    kinds = {"devices.yaml": Inventory, "budgets.yaml": Budgets, "gate.yaml": Policy}
    for path, body in files(name).items():
        kind = kinds.get(Path(path).name)
        if kind is not None:
            loads(body, path, kind)
        elif path.endswith(".py"):
            compile(body, path, "exec")
        else:
            assert Path(path).parent.name == "targets"  # `seatrial targets check` looks at those
    for body in blocks(name, "yaml"):
        if body.startswith("devices:"):
            loads(body, f"an inventory in {name}", Inventory)


def test_every_page_is_in_the_navigation_once() -> None:
    assert sorted(in_nav()) == [page.removeprefix("docs/") for page in PAGES]


@pytest.mark.slow
def test_the_site_is_built_and_fetches_nothing(tmp_path: Path) -> None:
    """Strictly: a link or an anchor that leads nowhere is an error."""
    program = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {page.relative_to(tmp_path).with_suffix("").as_posix() for page in tmp_path.rglob("*.html")} >= {
        page.removesuffix(".md") for page in in_nav()
    }
    assert [page.name for page in tmp_path.rglob("*.html") if "``" in page.read_text()] == []  # all blocks are blocks
    fetched = [
        found
        for page in tmp_path.rglob("*.html")
        for found in re.findall(r"<(?:script|link|img)\b[^>]*(?:src|href)=\"(https?:[^\"]+)", page.read_text())
    ]
    assert fetched == []


def test_the_reference_knows_every_command_and_public_name(tmp_path: Path) -> None:
    hook = runpy.run_path(str(ROOT / "docs" / "_hooks" / "reference.py"))
    made = {name: hook["on_page_markdown"](f"<!-- generated: {name} -->") for name in ("cli", "files", "python")}
    assert [name for name in TABLE if f"\n## seatrial {name}\n" not in f"\n{made['cli']}"] == []
    assert "`--baseline BUNDLE`" in made["cli"]
    assert [n for n in seatrial.__all__ if n[0] != "_" and f"## seatrial.{n}\n" not in made["python"]] == []
    assert "| `latency_p90` | text, such as `18 ms` |" in made["files"]
    assert "\n## Recipe\n" in made["files"]
    assert "[*Metrics*](#policy-metrics)" in made["files"]
    assert [page for page in PAGES if page.startswith("docs/reference/") and "<!-- generated: " not in text(page)] == []


def test_the_changelog_knows_the_version() -> None:
    assert re.search(rf"^## \[{re.escape(seatrial.__version__)}\]", text("CHANGELOG.md"), re.MULTILINE)


def test_the_words_of_the_readme_are_one_table() -> None:
    for word in ("target", "device", "bundle", "run", "duet", "trial", "verdict"):
        assert f"\n| {word} |" in text("README.md")


def test_the_readme_claims_no_runtime_that_is_not_there() -> None:
    from seatrial.exporters import TABLE as EXPORTERS
    from seatrial_runner.runtime.base import TABLE as RUNTIMES
    from seatrial_targets import registry

    every = {registry.get(name).runtime.name for name in registry.names()}
    assert every <= set(EXPORTERS)
    rows = [line for line in text("README.md").splitlines() if line.startswith("| Exported, not run")]
    assert {word for word in every if any(f"`{word}`" in row for row in rows)} >= every - set(RUNTIMES)


def test_the_yaml_of_the_readme_is_yaml() -> None:
    assert all(yaml.safe_load(body) for body in blocks("README.md", "yaml"))
