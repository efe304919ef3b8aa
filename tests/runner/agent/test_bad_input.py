"""Whatever is wrong with a job, both agents say what, and print a whole result."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from seatrial_runner.agent import ort_header
from seatrial_runner.agent.build import NATIVE

from .bad_input import TABLE, text_of
from .conftest import Agent, Case, Compile


@pytest.mark.parametrize("name", TABLE)
def test_it_is_named(agent: Agent, case: Case, name: str) -> None:
    make, stage, kind, message = TABLE[name]
    result = agent.text(text_of(make(case)), case.folder)
    assert result.error is not None
    assert (result.error.stage, result.error.kind) == (stage, kind), result.error.message
    assert any(part in result.error.message for part in message.split("|")), result.error.message
    assert all(not arm.wall_ns for arm in result.arms.values())


def test_a_failed_check_comes_with_its_figures(agent: Agent, case: Case) -> None:
    make, *_ = TABLE["output_nan"]
    (check,) = agent.text(text_of(make(case)), case.folder).arms["a"].checks
    assert not check.ok
    assert check.nonfinite == 1
    assert check.rel_l2 == np.inf
    assert check.argmax_equal  # 2 is the largest of 1, NaN, 2 as of 1, 1, 2


def test_a_library_that_is_too_old(agent: Agent, case: Case, compiled: Compile) -> None:
    result = agent.run(case.job(case.doubling(), library=str(compiled("old_runtime"))), case.folder)
    assert result.error is not None
    assert (result.error.stage, result.error.kind) == ("library", "user_error")
    assert "1.2.3 is too old" in result.error.message


def test_a_job_file_that_is_not_there(agent: Agent, tmp_path: Path) -> None:
    done = subprocess.run([*agent.argv, str(tmp_path / "none")], capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert b"No such file" in done.stdout
    assert done.stdout.endswith(b"\nseatrial-end -\n")


def test_usage(agent: Agent) -> None:
    done = subprocess.run(agent.argv, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"usage" in done.stderr


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Agent:
    """The native agent under AddressSanitizer and UndefinedBehaviorSanitizer."""
    if shutil.which("gcc") is None or not ort_header.is_cached():
        pytest.skip("needs gcc and ONNX Runtime's header: python -m seatrial_runner.agent.build fetches it")
    program = tmp_path_factory.mktemp("sanitized") / "agent"
    flags = [
        "-std=gnu11",
        "-g",
        "-O1",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-Wall",
        "-Wextra",
        "-Werror",
    ]
    sources = sorted(map(str, NATIVE.glob("*.c")))
    include = f"-I{ort_header.include_folder()}"
    command = ["gcc", *flags, include, *sources, "-ldl", "-lm", "-lpthread", "-o", str(program)]
    subprocess.run(command, check=True, timeout=120)
    # Whatever the process still holds at its end goes with it; leaks are no error of a process that is made to end.
    return Agent("native", ["env", "ASAN_OPTIONS=detect_leaks=0", str(program)])


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLE)
def test_it_is_named_under_sanitizers(sanitized: Agent, case: Case, name: str) -> None:
    test_it_is_named(sanitized, case, name)


@pytest.mark.slow
def test_a_duet_under_sanitizers(sanitized: Agent, case: Case) -> None:
    arms = {"a": case.doubling(name="one"), "b": case.doubling(name="two")}
    assert sanitized.run(case.job(arms, threads=2), case.folder).status == "ok"
    assert sanitized.run(case.job(case.doubling(), mode="memory"), case.folder).status == "ok"


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_damaged_files_under_sanitizers(sanitized: Agent, case: Case, seed: int) -> None:
    """Bytes changed at random in the job and its arrays: a result or an error, never a crash."""
    random = np.random.default_rng(seed)
    text = case.job(case.doubling()).render().encode()
    for name in ("double-x", "double-y"):
        path = case.folder / name
        path.write_bytes(damaged(path.read_bytes(), random))
    (case.folder / "job").write_bytes(damaged(text, random) if seed % 2 else text)
    done = subprocess.run([*sanitized.argv, "job"], capture_output=True, timeout=60, check=False, cwd=case.folder)
    assert done.returncode in (0, 1), done.stderr.decode(errors="replace")
    assert b"seatrial-end " in done.stdout


def damaged(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for position in random.integers(0, len(changed), 3):
        changed[position] = random.integers(0, 256)
    return bytes(changed[: random.integers(1, len(changed) + 1)] if random.random() < 0.3 else changed)
