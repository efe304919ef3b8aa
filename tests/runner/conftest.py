"""Small real bundles: an ONNX model whose cost and answer are known, for the machine that the tests run on."""

import contextlib
import io
import itertools
import os
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from seatrial_runner.bundle import Bundle, Content, write_bundle
from seatrial_runner.plan import Plan
from seatrial_targets import registry
from seatrial_targets.inventory import Device

MACHINE = platform.machine()
TARGET = {"x86_64": "x86-64-cpu-fp32", "aarch64": "arm64-cpu-fp32"}[MACHINE]
MakeBundle = Callable[..., Bundle]
QUICK = Plan(
    solo_runs=2,
    memory_runs=1,
    solo_iterations=20,
    duet_iterations=8,
    memory_iterations=3,
    warmup_iterations=2,
    warmup_min_ns=1_000_000,
)


def matmul_chain(depth: int, width: int = 64) -> bytes:
    """Return an ONNX model that multiplies a (1, width) input by the identity ``depth`` times."""
    names = ["x", *(f"h{i}" for i in range(depth - 1)), "y"]
    nodes = [helper.make_node("MatMul", [a, "eye"], [b]) for a, b in itertools.pairwise(names)]
    shape = [1, width]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.eye(width, dtype=np.float32), "eye")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def bundle_maker(folder: Path) -> MakeBundle:
    """Return a maker of bundles in ``folder``: ``make(name, depth=4, golden=..., target=...)``."""

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
            "model.onnx": Content("artifact", matmul_chain(depth)),
            "golden/x.npy": Content("golden_input", npy(x)),
            "golden/y.npy": Content("golden_output", npy(x if golden is None else golden)),
        }
        return write_bundle(folder / "bundles" / name, contents, fields)

    return make


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Return a maker of bundles: ``make_bundle(name, depth=4, golden=..., target=...)``."""
    return bundle_maker(tmp_path)


@pytest.fixture
def here(tmp_path: Path) -> Device:
    """Return this machine as a device with a folder of its own (whose name has a space, as people's do)."""
    return Device(name="here", target=TARGET, transport="local", root=str(tmp_path / "device root"))


def leftovers(device: Device) -> list[str]:
    return sorted(p.name for p in Path(str(device.root)).iterdir() if p.name != "blobs")


def agents_running(device: Device) -> list[str]:
    """The processes in a run's folder, by which an agent is known: its command line names no folder of ours."""
    found = []
    for cwd in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            if f"{device.root}/runs/" in os.readlink(cwd):
                found.append(cwd.parent.name)
    return found
