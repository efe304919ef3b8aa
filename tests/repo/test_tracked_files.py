"""What is in the repository, and what the wheel carries."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Paths of one machine, and names that only one network resolves. Examples use 192.0.2.x and .example.
PRIVATE = re.compile(
    r"/Users/[a-z]|/home/(?!bench\b|pi\b|me\b|user\b|someone\b)[a-z]+/|"
    r"https?://(?:localhost|10\.|172\.(?:1[6-9]|2\d|3[01])\.|192\.168\.)|"
    r"--(?:extra-)?index-url[ =]https?:|\b[\w-]+\.(?:internal|corp|lan|intranet)\b"
)


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.decode().split("\0") if name]


def test_no_file_names_a_path_or_host_of_one_machine() -> None:
    here = Path(__file__).resolve()
    found = {}
    for path in tracked():
        own = path.resolve() == here  # holds the examples below
        if path.is_file() and not own and (hits := PRIVATE.findall(path.read_text("utf-8", "replace"))):
            found[str(path.relative_to(ROOT))] = hits[:3]
    assert found == {}


@pytest.mark.parametrize(
    ("line", "private"),
    [
        ("see /Users/ann/notes", True),
        ("pip install --index-url https://x/simple", True),
        ("http://192.168.1.5/", True),
        ("host registry.internal", True),
        ("address: 192.0.2.7", False),
        ("https://docs.python.org", False),
        ("/home/bench/.cache", False),
    ],
)
def test_the_pattern_knows_what_is_private(line: str, private: bool) -> None:
    assert bool(PRIVATE.search(line)) is private


def test_nothing_that_is_made_is_tracked() -> None:
    made = {"__pycache__", ".venv", "dist", "build", ".lab", "trials", "demo-out"}
    assert [path for path in tracked() if made & set(path.relative_to(ROOT).parts)] == []


def test_no_tracked_file_is_large() -> None:
    assert {path.name: size for path in tracked() if path.is_file() and (size := path.stat().st_size) > 1_000_000} == {}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in a freshly built wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    argv = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.glob("*.whl")
    return set(zipfile.ZipFile(made).namelist())


@pytest.mark.slow
def test_the_wheel_holds_what_is_needed_to_run(wheel: set[str]) -> None:
    packages = ("seatrial", "seatrial_targets", "seatrial_runner", "seatrial_ci")
    assert {f"{package}/py.typed" for package in packages} <= wheel
    assert {"seatrial/cli.py", "seatrial/commands/gate.py"} <= wheel
    for machine in ("x86_64", "aarch64", "armv7l"):
        assert f"seatrial_runner/agent/bin/agent-{machine}" in wheel
    assert "seatrial_targets/profiles/raspberry-pi-5-int8.yaml" in wheel
    assert "seatrial_targets/profiles/_onnxruntime-cpu.yaml" in wheel
    assert any(name.startswith("seatrial_ci/report/templates/") for name in wheel)
    assert any(name.endswith("licenses/LICENSE") for name in wheel)


@pytest.mark.slow
def test_the_wheel_holds_every_tracked_file_of_the_packages_and_nothing_else(wheel: set[str]) -> None:
    roots = ("sdk", "targets", "device_runner", "ci")
    names = [path.relative_to(ROOT).as_posix().split("/", 1) for path in tracked()]
    ours = {rest for root, *rest_ in names if root in roots and rest_ for rest in rest_ if rest.startswith("seatrial")}
    inside = {name for name in wheel if not name.split("/", 1)[0].endswith(".dist-info")}
    assert ours - inside == set()
    assert {name for name in inside if "__pycache__" in name or name.startswith("tests/")} == set()
