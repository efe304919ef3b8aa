"""What a command costs before it does anything: the modules that it loads, counted in a fresh process."""

from __future__ import annotations

import subprocess
import sys

import pytest

FRAMEWORKS = {"torch", "onnx", "onnxscript", "onnxruntime", "coremltools", "sympy"}
HEAVY = FRAMEWORKS | {"numpy", "scipy", "pydantic", "paramiko", "sqlalchemy", "rich", "yaml", "jinja2", "junitparser"}
PROBE = """
import sys
{code}
print("loaded:", *sorted(sys.modules))
"""
RUN = "from seatrial.cli import cli\ncli.main({words!r}, standalone_mode=False)"


def loaded(code: str) -> set[str]:
    """Return the root packages that are loaded after ``code`` ran in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", PROBE.format(code=code)], capture_output=True, text=True, check=True)
    line = next(line for line in reversed(done.stdout.splitlines()) if line.startswith("loaded:"))
    return {name.partition(".")[0] for name in line.split()[1:]}


@pytest.mark.parametrize(
    "words",
    [["--help"], ["--version"], ["bench", "--help"], ["gate", "--help"], ["export", "--help"], ["targets", "--help"]],
    ids=" ".join,
)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    found = loaded(RUN.format(words=words))
    assert "click" in found
    assert found & HEAVY == set()


def test_help_of_the_program_loads_no_command() -> None:
    code = RUN.format(words=["--help"]) + "\nprint('commands:', [m for m in sys.modules if '.commands.' in m])"
    done = subprocess.run([sys.executable, "-c", "import sys\n" + code], capture_output=True, text=True, check=True)
    assert "seatrial.commands.failure" in done.stdout
    assert "seatrial.commands.bench" not in done.stdout


def test_the_package_loads_nothing_until_it_is_used() -> None:
    assert loaded("import seatrial") & HEAVY == set()


@pytest.mark.parametrize(
    "code",
    [
        "import seatrial.api",
        "from seatrial import bench, gate, judge_file",
        "import seatrial_runner.trial, seatrial_runner.transport.local",
        "import seatrial_ci.gate, seatrial_ci.gate.live, seatrial_ci.summary",
        "import seatrial.commands.bench, seatrial.commands.gate, seatrial.commands.report",
        "import seatrial_runner.condition.facts, seatrial_runner.condition.doctor",
    ],
)
def test_what_bench_and_gate_need_loads_no_framework(code: str) -> None:
    assert loaded(code) & FRAMEWORKS == set()


def test_a_verdict_in_words_loads_no_report() -> None:
    assert "junitparser" not in loaded("import seatrial_ci.gate.checks, seatrial.commands.verdicts")


def test_the_probe_sees_what_is_loaded() -> None:
    assert "numpy" in loaded("import numpy")
