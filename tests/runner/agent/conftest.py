"""Both agents against the real ONNX Runtime of this Python, on tiny models made here."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from seatrial_runner.agent import native_agent, python_agent
from seatrial_runner.job import ArmJob, Job, TensorFile
from seatrial_runner.records import AgentResult
from seatrial_runner.runtime.output import parse_result

TOKEN = "0123456789abcdef"


def installed_library() -> str:
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    return str(next((Path(spec.origin).parent / "capi").glob("libonnxruntime.so.*")))


@dataclasses.dataclass
class Agent:
    """One of the two agents: how to start it."""

    name: str
    argv: list[str]

    def start(self, job_file: Path, **options: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.argv, str(job_file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)

    def text(self, text: str, folder: Path) -> AgentResult:
        job_file = folder / "job"
        job_file.write_text(text)
        done = subprocess.run([*self.argv, str(job_file)], capture_output=True, timeout=120, check=False, cwd=folder)
        assert done.returncode in (0, 1), (done.returncode, done.stderr.decode())
        result = parse_result(done.stdout, TOKEN)
        assert done.returncode == (result.status == "error")
        assert result.agent == self.name
        return result

    def stderr(self, job: Job, folder: Path, environment: Mapping[str, str]) -> str:
        """Run ``job``, which must end well; return what was printed to stderr."""
        (folder / "job").write_text(job.render())
        env = {**os.environ, **environment}
        done = subprocess.run([*self.argv, "job"], capture_output=True, timeout=120, check=False, cwd=folder, env=env)
        assert done.returncode == 0, done.stdout
        return done.stderr.decode()

    def run(self, job: Job, folder: Path) -> AgentResult:
        return self.text(job.render(), folder)


def agents() -> dict[str, Agent]:
    native = native_agent(platform.machine())
    found = {"python": Agent("python", [sys.executable, "-I", str(python_agent())])}
    if native:
        found["native"] = Agent("native", [str(native)])
    return found


@pytest.fixture(params=["native", "python"])
def agent(request: pytest.FixtureRequest) -> Agent:
    if request.param not in agents():
        pytest.skip(f"no native agent for {platform.machine()}")
    return agents()[request.param]


@dataclasses.dataclass
class Case:
    """Builds models and jobs in a folder of its own."""

    folder: Path

    def model(
        self,
        nodes: Sequence[onnx.NodeProto],
        inputs: Mapping[str, tuple[int, Sequence[Any]]],
        outputs: Mapping[str, tuple[int, Sequence[Any]]],
        constants: Mapping[str, np.ndarray[Any, Any]] | None = None,
        name: str = "model",
        sequences: Mapping[str, int] | None = None,
    ) -> str:
        """Write a model; tensors are name -> (element type, shape). Return its file name, without a suffix."""
        graph = helper.make_graph(
            list(nodes),
            "g",
            [helper.make_tensor_value_info(n, t, s) for n, (t, s) in inputs.items()]
            + [helper.make_tensor_sequence_value_info(n, t, None) for n, t in (sequences or {}).items()],
            [helper.make_tensor_value_info(n, t, s) for n, (t, s) in outputs.items()],
            [onnx.numpy_helper.from_array(value, n) for n, value in (constants or {}).items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        (self.folder / name).write_bytes(model.SerializeToString())
        return name

    def tensor(self, name: str, value: Any, tolerance: float | None = None, file: str | None = None) -> TensorFile:
        array = np.asarray(value)
        file = file or f"tensor-{len(list(self.folder.glob('tensor-*')))}"
        with (self.folder / file).open("wb") as handle:
            np.save(handle, array)
        return TensorFile(name, array.dtype.name, array.shape, file, tolerance)

    def doubling(self, rows: int = 1, columns: int = 4, name: str = "double", times: int = 1) -> ArmJob:
        """y = 2x; with ``times`` > 1 as many doublings and halvings more, which only cost time."""
        steps = ["Add"] + ["Mul"] * (times - 1)
        names = ["x", *(f"h{i}" for i in range(times - 1)), "y"]
        nodes = [helper.make_node("Add", ["x", "x"], [names[1]])]
        nodes += [helper.make_node(op, [names[i], "one"], [names[i + 1]]) for i, op in enumerate(steps) if i]
        shape = (rows, columns)
        model = self.model(
            nodes,
            {"x": (TensorProto.FLOAT, shape)},
            {"y": (TensorProto.FLOAT, shape)},
            {"one": np.ones(1, np.float32)} if times > 1 else None,
            name,
        )
        x = np.arange(rows * columns, dtype=np.float32).reshape(shape)
        return ArmJob(
            model,
            (self.tensor("x", x, file=f"{name}-x"),),
            (self.tensor("y", 2 * x, 1e-6, file=f"{name}-y"),),
        )

    def job(self, arm: ArmJob | Mapping[str, ArmJob], **changes: Any) -> Job:
        """Return a short job: no warm-up to speak of, 5 inferences."""
        arms = {"a": arm} if isinstance(arm, ArmJob) else arm
        short: dict[str, Any] = {"warmup_iterations": 1, "warmup_min_ns": 0, "iterations": 5, "mode": "latency"}
        return Job(token=TOKEN, arms=arms, **{"library": installed_library(), **short, **changes})  # type: ignore[arg-type]


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


@pytest.fixture
def run(agent: Agent, tmp_path: Path) -> Callable[[Job], AgentResult]:
    return lambda job: agent.run(job, tmp_path)


Compile = Callable[[str], Path]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compile a C source beside this file into a shared library."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")

    def build(name: str) -> Path:
        library = tmp_path / f"lib{name}.so"
        source = Path(__file__).with_name(f"{name}.c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True, timeout=60)
        return library

    return build
