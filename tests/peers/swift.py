"""The Swift compiler of Debian 13 in a tree of its own: the core of the runner for Apple devices is built by it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from peers import lab
from seatrial_runner.apple import SOURCES

FOLDER = lab.FOLDER / "swift"
SCRIPT = Path(__file__).with_name("swift.sh")


def build_core() -> None:
    """Make the tree, once, and compile the core and what runs the vectors; parse what needs Apple's frameworks."""
    lab.packages()
    _script("build", str(FOLDER))
    _script("core", str(FOLDER), str(SOURCES))


def answer(folder: Path) -> bytes:
    """Return what the core prints for the job and the made-up device in ``folder``."""
    return _script("vectors", str(FOLDER), str(folder))


def _script(*words: str) -> bytes:
    done = subprocess.run([SCRIPT, *words], capture_output=True, check=False)
    assert done.returncode == 0, f"swift.sh {' '.join(words)}: {done.returncode}\n{done.stderr.decode()}"
    return done.stdout
