"""What our agent calls, against NVIDIA's own objects: TensorRT-RTX has the same Python API and needs no GPU to build.

Needs `make compiler`. It shows that calls, names and arguments are right; not what TensorRT 8 to 11 do on a board.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from seatrial_runner.agent import python_agent

from .conftest import conv_model

pytestmark = pytest.mark.slow
PROGRAM = """
import sys, json
sys.path.insert(0, {agent!r})
import tensorrt_rtx
sys.modules["tensorrt"] = tensorrt_rtx
from seatrial_agent import trt_build
sys.exit(trt_build.main(json.loads({options!r})))
"""


@pytest.fixture
def rtx():
    return pytest.importorskip("tensorrt_rtx", reason="needs make compiler")


def build(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own: without a driver, some calls of TensorRT end the process."""
    files = [f"--onnx={folder / 'm.onnx'}", f"--saveEngine={folder / 'm.plan'}", f"--timingCacheFile={folder / 't'}"]
    given = [*files, "--stronglyTyped", "--profilingVerbosity=detailed", "--noTF32", *options]
    program = PROGRAM.format(agent=str(python_agent()), options=json.dumps(given))
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=300)


def test_a_build_with_all_that_a_bundle_may_ask_for(rtx, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(conv_model("N"))
    shapes = ["--minShapes=x:1x4x8x8", "--optShapes=x:1x4x8x8", "--maxShapes=x:2x4x8x8"]
    more = ["--sparsity=enable", "--memPoolSize=workspace:256", "--builderOptimizationLevel=2"]
    done = build(tmp_path, *shapes, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Engine built in" in done.stdout
    assert (tmp_path / "m.plan").stat().st_size > 1000
    assert (tmp_path / "t").stat().st_size > 0
    again = build(tmp_path, *shapes, *more)
    assert "bytes of timing cache from" in again.stdout
    assert again.returncode == 0


def test_shapes_in_the_wrong_order_are_refused(rtx, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(conv_model("N"))
    done = build(tmp_path, "--minShapes=x:2x4x8x8", "--optShapes=x:1x4x8x8", "--maxShapes=x:2x4x8x8")
    assert done.returncode == 1
    assert "[E] the shapes of the profile are refused" in done.stdout


def test_what_nvidias_parser_refuses_is_told_in_its_words(rtx, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(conv_model()[:-40])
    done = build(tmp_path)
    assert done.returncode == 1
    assert "[E] [TRT] " in done.stdout
    assert done.stdout.rstrip().endswith("Parsing model failed")


def test_an_option_that_it_does_not_know_is_no_build(rtx, tmp_path: Path) -> None:
    done = build(tmp_path, "--useDLACore=0")
    assert done.returncode == 1
    assert "Unknown option: --useDLACore" in done.stdout


def test_the_runners_calls_exist_in_nvidias_api(rtx) -> None:
    """Every attribute that the agent takes of tensorrt, an engine, a context or a runtime."""
    source = (Path(python_agent()).parents[1] / "portable" / "trt.py").read_text()
    attributes = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    classes = (rtx, rtx.Runtime, rtx.ICudaEngine, rtx.IExecutionContext, rtx.TensorIOMode, rtx.ILogger)
    api = {name for each in classes for name in dir(each)}
    wanted = {
        "Runtime", "TensorIOMode", "INPUT", "ILogger", "init_libnvinfer_plugins", "deserialize_cuda_engine",
        "create_execution_context", "num_io_tensors", "get_tensor_name", "get_tensor_mode", "get_tensor_dtype",
        "set_input_shape", "get_tensor_shape", "set_tensor_address", "execute_async_v3",
    }  # fmt: skip
    assert wanted <= attributes  # the list above is what the agent uses
    assert wanted - api == set()
    assert "device_memory_size_v2" in dir(rtx.ICudaEngine)
    assert str(rtx.DataType.FLOAT).rpartition(".")[2] == "FLOAT"
    assert str(rtx.ILogger.Severity.ERROR).rpartition(".")[2] == "ERROR"
