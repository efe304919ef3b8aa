"""Small real bundles for TensorRT, and this machine as a device that has the stand-in for trtexec."""

from __future__ import annotations

import hashlib
import io
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from peers import trt
from seatrial_runner.bundle import Bundle, Content, write_bundle
from seatrial_runner.enginebuild import ENGINE_BUILD_FILE, EngineBuild, InputProfile, modes_for
from seatrial_targets import registry
from seatrial_targets.inventory import Device

MakeBundle = Callable[..., Bundle]
TARGET = "jetson-orin-nano-int8"


def conv_model(batch: int | str = 1, scale: float = 1.0) -> bytes:
    """x (N, 4, 8, 8) -> Q/DQ -> 3x3 convolution by ``scale`` times the identity (INT8 weights) -> y."""
    weight = np.zeros((4, 4, 3, 3), np.int8)
    weight[range(4), range(4), 1, 1] = 127
    constants = {
        "s": np.float32(1 / 64),
        "z": np.int8(0),
        "w": weight,
        "ws": np.full(4, scale / 127, np.float32),
        "wz": np.zeros(4, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["xq"], "quantize"),
        helper.make_node("DequantizeLinear", ["xq", "s", "z"], ["xd"], "dequantize"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "weights", axis=0),
        helper.make_node("Conv", ["xd", "wd"], ["y"], 'the "first" conv', pads=[1, 1, 1, 1]),
    ]
    shape = [batch, 4, 8, 8]
    graph = helper.make_graph(
        nodes,
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def profile_here(architecture: str = platform.machine(), **runtime: Any) -> dict[str, Any]:
    """Return the Jetson's target as one for this machine, where the stand-in runs."""
    profile = registry.get(TARGET).model_dump(mode="json", by_alias=True)
    profile["device"] |= {"architecture": architecture, "models": [], "os": "linux"}
    profile["runtime"] |= {"versions": "", **runtime}
    return profile


@pytest.fixture
def make_bundle(tmp_path: Path) -> MakeBundle:
    """Return a maker of bundles: ``make_bundle(name, scale=1.0, golden=..., batch=1 or "N", profile=...)``."""

    def make(
        name: str = "conv",
        scale: float = 1.0,
        golden: np.ndarray[Any, Any] | None = None,
        batch: int | str = 1,
        profile: dict[str, Any] | None = None,
        **build: Any,
    ) -> Bundle:
        x = (np.arange(256).reshape(1, 4, 8, 8) % 127 / 64).astype(np.float32)
        model = conv_model(batch, scale)
        shapes = {"x": InputProfile(min=(1, 4, 8, 8), opt=(1, 4, 8, 8), max=(2, 4, 8, 8))} if batch == "N" else {}
        record = EngineBuild(
            onnx_sha256=hashlib.sha256(model).hexdigest(),
            form="qdq-fp32",
            opset=17,
            modes=modes_for("qdq-fp32", (8, 5), (12,)),
            profiles=shapes,
            **build,
        )
        tensor = {"dtype": "float32", "shape": (batch, 4, 8, 8), "golden_shape": (1, 4, 8, 8)}
        fields = {
            "name": name,
            "target": TARGET,
            "profile": profile or profile_here(),
            "runtime": "tensorrt",
            "precision": "int8",
            "artifact": "model.onnx",
            "inputs": ({"name": "x", "golden": "golden/x.npy", **tensor},),
            "outputs": ({"name": "y", "golden": "golden/y.npy", "tolerance": 1e-4, **tensor},),
            "parity": {"sqnr_db": 40.0},
        }
        contents = {
            "model.onnx": Content("artifact", model),
            ENGINE_BUILD_FILE: Content("record", record.model_dump_json(by_alias=True).encode()),
            "golden/x.npy": Content("golden_input", npy(x)),
            "golden/y.npy": Content("golden_output", npy(x * np.float32(scale) if golden is None else golden)),
        }
        return write_bundle(tmp_path / "bundles" / name, contents, fields)

    return make


@pytest.fixture
def trtexec(tmp_path: Path) -> Path:
    """The stand-in, version 10.3.0; see `peers.trt.configure` for what can be changed."""
    return trt.install(tmp_path / "tensorrt" / "bin", build=30)


@pytest.fixture
def jetson(tmp_path: Path, trtexec: Path) -> Device:
    """This machine as a device whose trtexec is the stand-in. Its inventory does not say so: the stand-in does."""
    root = str(tmp_path / "device root")
    return Device(name="jetson", target=TARGET, transport="local", root=root, trtexec=str(trtexec))
