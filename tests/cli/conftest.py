"""The program as a user has it: a home of one's own, small real bundles, and two ways to call it."""

from __future__ import annotations

import io
import itertools
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from peers.program import Call, Said, in_a_process
from seatrial.cli import cli
from seatrial_runner.bundle import Bundle, Content, write_bundle
from seatrial_targets import registry

MACHINE = platform.machine()
TARGET = {"x86_64": "x86-64-cpu-fp32", "aarch64": "arm64-cpu-fp32"}[MACHINE]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working folder of the test's own. Runtime libraries stay in the user's cache: they are large."""
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    for key, folder in {"HOME": "", "XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".data"}.items():
        monkeypatch.setenv(key, str(home / folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / ".state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    for key in ("SEATRIAL_TARGETS", "SSH_AUTH_SOCK", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.chdir(work)
    return home


@pytest.fixture
def call() -> Call:
    """Call the program in this process; quick."""

    def run(*words: object, stdin: str = "") -> Said:
        done = CliRunner().invoke(cli, [str(word) for word in words], input=stdin)
        return Said(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def program() -> Call:
    """Call the installed program in a process of its own, as a shell does."""

    return in_a_process


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """Return a maker of bundles whose model is the identity, as ``depth`` matrix products."""

    def make(name: str = "chain", depth: int = 4, golden: np.ndarray | None = None, target: str = TARGET) -> Bundle:
        x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 64)
        tensor = {"dtype": "float32", "shape": (1, 64), "golden_shape": (1, 64)}
        profile = registry.get(target)
        fields = {
            "name": name,
            "target": target,
            "profile": profile.model_dump(mode="json", by_alias=True),
            "runtime": profile.runtime.name,
            "precision": "fp32",
            "artifact": "model.onnx",
            "inputs": ({"name": "x", "golden": "golden/x.npy", **tensor},),
            "outputs": ({"name": "y", "golden": "golden/y.npy", "tolerance": 1e-4, **tensor},),
            "parity": {"sqnr_db": 90.0},
        }
        contents = {
            "model.onnx": Content("artifact", _chain(depth)),
            "golden/x.npy": Content("golden_input", _npy(x)),
            "golden/y.npy": Content("golden_output", _npy(x if golden is None else golden)),
        }
        return write_bundle(tmp_path / "bundles" / name, contents, fields)

    return make


def _chain(depth: int, width: int = 64) -> bytes:
    names = ["x", *(f"h{i}" for i in range(depth - 1)), "y"]
    nodes = [helper.make_node("MatMul", [a, "eye"], [b]) for a, b in itertools.pairwise(names)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name in ("x", "y")]
    weights = [numpy_helper.from_array(np.eye(width, dtype=np.float32), "eye")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
