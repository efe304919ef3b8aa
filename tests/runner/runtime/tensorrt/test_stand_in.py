"""The stand-in for trtexec itself: what it accepts by version, and that both of its engines compute the same."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from peers import trt

from .conftest import conv_model


def call(program: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *options], capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("version", "option", "known"),
    [
        ("8.6.1", "--int8", True),
        ("8.6.1", "--stronglyTyped", False),
        ("10.3.0", "--stronglyTyped", True),
        ("10.3.0", "--buildOnly", False),
        ("10.3.0", "--includeDataTransfers", False),
        ("11.1.0", "--int8", False),
        ("11.1.0", "--includeDataTransfers", True),
        ("11.1.0", "--noDataTransfers", True),
    ],
)
def test_options_by_version(trtexec: Path, version: str, option: str, known: bool) -> None:
    trt.configure(trtexec, version=version)
    done = call(trtexec, option, "--loadEngine=/nonexistent")
    assert done.returncode == 1
    assert ("Unknown option" in done.stderr) != known
    assert done.stdout.splitlines()[0].startswith("&&&& RUNNING TensorRT.trtexec [TensorRT v")
    assert ("&&&& FAILED" in done.stdout) == (known or version != "11.1.0")  # 11 ends without a word


def test_every_output_says_what_it_is(trtexec: Path) -> None:
    for options in (["--help"], ["--nonsense"], ["--loadEngine=/nonexistent"]):
        assert "SEATRIAL STAND-IN" in call(trtexec, *options).stdout


def test_both_engines_compute_the_same(trtexec: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(conv_model())
    x = np.random.default_rng(3).uniform(-1.9, 1.9, (1, 4, 8, 8)).astype(np.float32)
    x.tofile(tmp_path / "x.bin")
    found = []
    for plain in (False, True):
        trt.configure(trtexec, plain=plain)
        output = tmp_path / f"{plain}.json"
        options = [f"--onnx={tmp_path / 'm.onnx'}", f"--loadInputs=x:{tmp_path / 'x.bin'}", f"--exportOutput={output}"]
        done = call(trtexec, *options, "--int8", "--iterations=1", "--duration=0", "--warmUp=0")
        assert done.returncode == 0, done.stderr
        found.append(np.array(json.loads(output.read_text())[0]["values"]))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5)
    assert np.abs(found[0] - x.reshape(-1)).max() <= 1 / 64  # the identity, quantized


def test_it_needs_nothing_but_python_where_it_computes_itself(trtexec: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(conv_model())
    trt.configure(trtexec, plain=True)
    argv = [sys.executable, "-I", "-S", str(trtexec), f"--onnx={tmp_path / 'm.onnx'}", "--iterations=1", "--duration=0"]
    program = f"import sys; sys.path.insert(0, {str(trtexec.parent)!r}); sys.argv = {argv[3:]!r}; "
    program += "import runpy; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run([*argv[:3], "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert "&&&& PASSED" in done.stdout, done.stderr
