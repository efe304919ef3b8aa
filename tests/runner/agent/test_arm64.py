"""Both agents as arm64 programs, under the lab's emulator and with the arm64 ONNX Runtime of its tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from peers import lab
from seatrial_runner.agent import native_agent, python_agent

from .conftest import Agent, Case

pytestmark = pytest.mark.lab
TREE = lab.FOLDER / "rootfs"


@pytest.fixture(params=["native", "python"])
def emulated(request: pytest.FixtureRequest, lab_built: None) -> Agent:
    emulator = [str(lab.FOLDER / "qemu" / "qemu-aarch64"), "-L", str(TREE)]
    if request.param == "native":
        return Agent("native", [*emulator, str(native_agent("aarch64"))])
    return Agent("python", [*emulator, str(TREE / "usr/bin/python3"), "-I", str(python_agent())])


def library() -> str:
    return str(next(Path(TREE, "opt/py/onnxruntime/capi").glob("libonnxruntime.so.*")))


def test_a_duet(emulated: Agent, case: Case) -> None:
    arms = {"a": case.doubling(name="one"), "b": case.doubling(name="two")}
    job = case.job(arms, library=library(), warmup_max_ns=0, iterations=4)
    result = emulated.run(job, case.folder)
    assert result.error is None
    assert len(result.arms["a"].wall_ns) == len(result.arms["b"].wall_ns) == 4


def test_a_failed_check(emulated: Agent, case: Case) -> None:
    arm = case.doubling()
    (case.folder / "double-y").write_bytes((case.folder / "double-x").read_bytes())
    result = emulated.run(case.job(arm, library=library()), case.folder)
    assert result.error is not None
    assert result.error.stage == "check"
    assert "relative L2 error 1, allowed" in result.error.message
