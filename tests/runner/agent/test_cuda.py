"""The ways to CUDA that the Python agent has, as far as a machine without a GPU goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from seatrial_runner.agent import python_agent

PROGRAM = """
import sys
sys.path.insert(0, {agent!r})
from seatrial_agent.cuda import open_cuda
from seatrial_agent.failure import AgentFailureError
try:
    print("opened", open_cuda({way!r}).name)
except AgentFailureError as error:
    print("failed", error)
"""


def opened(way: str, **environment: str) -> str:
    program = PROGRAM.format(agent=str(python_agent()), way=way)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60, env=environment
    )
    return done.stdout.strip()


def test_nvidias_own_bindings_say_that_there_is_no_driver() -> None:
    """The real package cuda-bindings, which imports on any machine."""
    pytest.importorskip("cuda.bindings.runtime")
    said = opened("cuda-python")
    if said != "opened cuda-python":  # a machine with a GPU
        assert said.startswith("failed no GPU can be used: CUDA error ")


def test_every_function_that_is_called_is_in_nvidias_bindings() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime")
    source = (Path(python_agent()).parents[1] / "portable" / "cuda.py").read_text()
    import re

    called = set(re.findall(r'"(cuda[A-Z]\w+)"', source))
    assert len(called) > 12
    assert [name for name in sorted(called) if not hasattr(runtime, name)] == []


def test_a_package_that_is_not_there() -> None:
    assert opened("pycuda") == (
        "failed no way to CUDA (pycuda): there is no libcudart.so, no package cuda-python, no pycuda"
    )
