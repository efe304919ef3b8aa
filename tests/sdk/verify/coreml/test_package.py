"""Packages on disk: what is damaged, foreign or hostile is an error that says so; what is right is read exactly."""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.exporters.coreml.convert import silence
from seatrial.verify.coreml import library
from seatrial.verify.coreml.blob import BlobFile, unpacked
from seatrial.verify.coreml.evaluator import Evaluator
from seatrial.verify.coreml.findings import Findings
from seatrial.verify.coreml.package import Package
from seatrial.verify.coreml.session import PackageSession
from seatrial_targets.errors import BundleError, EvaluationError, UnsupportedOpError, UserError

from .programs import ct, mb, saved

SPEC, WEIGHTS = "Data/com.apple.CoreML/model.mlmodel", "Data/com.apple.CoreML/weights/weight.bin"


def build(x):
    return mb.linear(x=x, weight=np.arange(32, dtype=np.float32).reshape(4, 8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(build, {"x": torch.zeros(1, 8)}, tmp_path)


def test_a_sound_package(folder: Path) -> None:
    found = Evaluator(Package(folder)).run({"x": torch.eye(8)[:1]})
    assert torch.equal(found["y0"], torch.tensor([[0.0, 8.0, 16.0, 24.0]]))


def test_what_is_missing_or_no_package(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is no \.mlpackage"):
        Package(tmp_path / "nothing")
    (folder / "Manifest.json").write_text("{")
    with pytest.raises(BundleError, match="or a damaged one"):
        Package(folder)
    (folder / "Manifest.json").write_text('{"rootModelIdentifier": "a", "itemInfoEntries": {"a": {"path": "../../x"}}}')
    with pytest.raises(BundleError, match="lies outside the package"):
        Package(folder)


def test_a_model_that_is_cut_short(folder: Path) -> None:
    data = (folder / SPEC).read_bytes()
    (folder / SPEC).write_bytes(data[: len(data) // 2])
    with pytest.raises(BundleError, match="can't be read"):
        Package(folder)
    (folder / SPEC).unlink()
    with pytest.raises(BundleError, match="can't be read"):
        Package(folder)


def test_weights_that_are_cut_short_or_lie_elsewhere(folder: Path) -> None:
    whole = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(whole[:-8])
    with pytest.raises(BundleError, match="bytes where 128 belong"):
        Evaluator(Package(folder)).run({"x": torch.zeros(1, 8)})
    (folder / WEIGHTS).unlink()
    with pytest.raises(BundleError, match="the weights can't be read"):
        Evaluator(Package(folder)).run({"x": torch.zeros(1, 8)})
    spec = (folder / SPEC).read_bytes()
    assert spec.count(b"@model_path/weights/weight.bin") == 1
    (folder / SPEC).write_bytes(spec.replace(b"@model_path/weights/weight.bin", b"@model_path/../../../weight.bi"))
    with pytest.raises(BundleError, match="lie outside the package"):
        Evaluator(Package(folder)).run({"x": torch.zeros(1, 8)})


@given(st.integers(0, 255), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_a_weight_file_with_any_byte_changed_is_read_or_refused(tmp_path_factory, value: int, place: int) -> None:
    path = tmp_path_factory.mktemp("blob") / "weight.bin"
    record = struct.pack("<IIQQQ", 0xDEADBEEF, 2, 16, 128, 0)
    data = bytearray(struct.pack("<II", 1, 2).ljust(64, b"\0") + record.ljust(64, b"\0") + np.ones(4, "<f4").tobytes())
    data[place % len(data)] = value
    path.write_bytes(bytes(data))
    try:
        found = BlobFile(path).read(64, "fp32", 4)
    except BundleError:
        return
    assert found.shape == (4,)


@given(st.sampled_from(["uint1", "uint2", "uint3", "uint4", "uint6", "int4"]), st.data())
def test_packed_integers_come_back(dtype: str, data: st.DataObject) -> None:
    bits = int(dtype[-1])
    low, high = (-8, 7) if dtype == "int4" else (0, 2**bits - 1)
    values = np.array(data.draw(st.lists(st.integers(low, high), min_size=1, max_size=20)))
    flags = (values[:, None] >> np.arange(bits)) & 1
    packed = np.packbits(flags.astype(np.uint8).reshape(-1), bitorder="little")
    assert unpacked(packed, dtype, len(values)).tolist() == values.tolist()


def test_a_neural_network_is_no_ml_program(folder: Path) -> None:
    from coremltools.proto import Model_pb2

    (folder / SPEC).write_bytes(Model_pb2.Model(neuralNetwork={}).SerializeToString())
    with pytest.raises(BundleError, match="holds neuralNetwork, not an ML program"):
        Package(folder)


def edited(folder: Path, change) -> Path:
    from coremltools.proto import Model_pb2

    spec = Model_pb2.Model.FromString((folder / SPEC).read_bytes())
    function = spec.mlProgram.functions["main"]
    change(function.block_specializations[function.opset])
    (folder / SPEC).write_bytes(spec.SerializeToString())
    return folder


def test_a_shape_that_is_not_the_declared_one_is_an_error(folder: Path) -> None:
    def wider(block) -> None:
        (linear,) = [each for each in block.operations if each.type == "linear"]
        linear.outputs[0].type.tensorType.dimensions[1].constant.size = 5

    with pytest.raises(EvaluationError, match=r"linear .* declares .* as fp32\[1, 5\], but it comes out as \[1, 4\]"):
        Evaluator(Package(edited(folder, wider))).run({"x": torch.zeros(1, 8)})


def test_operations_that_are_lacking_are_named(folder: Path) -> None:
    def foreign(block) -> None:
        (linear,) = [each for each in block.operations if each.type == "linear"]
        linear.type = "warp_speed"

    evaluator = Evaluator(Package(edited(folder, foreign)))
    assert evaluator.unsupported() == ["warp_speed"]
    with pytest.raises(UnsupportedOpError, match="can't be executed here: warp_speed"):
        evaluator.run({"x": torch.zeros(1, 8)})


def test_random_numbers_are_an_error(tmp_path: Path) -> None:
    def random(x):
        return mb.add(x=x, y=mb.random_normal(shape=[1], mean=0.0, stddev=1.0))

    evaluator = Evaluator(Package(saved(random, {"x": torch.zeros(1)}, tmp_path)))
    with pytest.raises(UnsupportedOpError, match=r"draws random numbers \(random_normal\)"):
        evaluator.run({"x": torch.zeros(1)})


def test_wrong_inputs(folder: Path) -> None:
    session = PackageSession(folder)
    with pytest.raises(EvaluationError, match="takes an input 'x', which was not given"):
        session.run({})
    with pytest.raises(EvaluationError, match="'x' takes float32, but float64 was given"):
        session.run({"x": np.zeros((1, 8))})
    with pytest.raises(EvaluationError, match=r"input 'x' is fp32\[1, 8\], but \[1, 9\] was given"):
        session.run({"x": np.zeros((1, 9), np.float32)})


def test_the_operation_that_overflows_is_found(tmp_path: Path) -> None:
    def overflowing(x):
        return mb.mul(x=mb.square(x=x, name="much"), y=np.float16(1e-4), name="little")

    x = torch.full((1, 2), 300.0).half()
    findings = Findings()
    Evaluator(Package(saved(overflowing, {"x": x}, tmp_path))).run({"x": x}, observer=findings.observe)
    (found,) = findings.overflows
    assert (found.operation, found.name, found.largest) == ("square", "much", 90000.0)
    assert str(found) == "operation square 'much' reaches 9e+04, 1.37 times what float16 holds"
    unrounded = Evaluator(Package(tmp_path / "model.mlpackage"), rounded=False).run({"x": x})
    assert torch.allclose(unrounded["y0"], torch.full((1, 2), 9.0), rtol=1e-2)


@pytest.mark.parametrize("colour", ["RGB", "BGR", "GRAYSCALE"])
def test_images_and_labels(tmp_path: Path, colour: str) -> None:
    """A model that averages over pixels, and is a classifier."""
    channels = 1 if colour == "GRAYSCALE" else 3
    labels = ["a", "b", "c"][:channels]
    module = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    layout, bias = getattr(ct.colorlayout, colour), [1.0] * channels if channels > 1 else 1.0
    image = ct.ImageType(name="image", shape=(1, channels, 2, 2), scale=0.5, bias=bias, color_layout=layout)
    with silence(lambda _stage: None):
        model = torch.jit.trace(module, torch.zeros(1, channels, 2, 2))
        ct.convert(
            model, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS16, skip_model_load=True,
            inputs=[image], classifier_config=ct.ClassifierConfig(labels), package_dir=str(tmp_path / "m.mlpackage"),
        )  # fmt: skip
    session = PackageSession(tmp_path / "m.mlpackage")
    assert (session.inputs[0].dtype, session.inputs[0].colour) == ("uint8", colour)
    pixels = np.full((2, 2), 10, np.uint8) if channels == 1 else np.full((2, 2, 3), [10, 20, 30], np.uint8)
    (output,) = session.outputs
    assert output.labels == tuple(labels)
    (found,) = session.run({"image": pixels}).values()
    assert found.tolist() == {"RGB": [6, 11, 16], "BGR": [16, 11, 6], "GRAYSCALE": [6]}[colour]


def test_a_copy_elsewhere_is_the_same(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    body = json.loads((tmp_path / "copy" / "Manifest.json").read_text())
    assert body["fileFormatVersion"] == "1.0.0"
    assert torch.equal(Evaluator(Package(tmp_path / "copy")).run({"x": torch.ones(1, 8)})["y0"],
                       Evaluator(Package(folder)).run({"x": torch.ones(1, 8)})["y0"])  # fmt: skip


def test_what_coremltools_says_under_no_name_is_heard_and_what_others_say_is_passed_on() -> None:
    """In a process of its own: pytest has handlers at the root."""
    code = """
import logging
from seatrial.verify.coreml import library
def say(path, text): logging.getLogger().handle(logging.LogRecord("root", 30, path, 1, text, (), None))
with library.quiet() as heard, library.quiet():
    say("/x/coremltools/optimize/_utils.py", "theirs")
    say("/x/app.py", "another's")
assert heard == ["theirs"], heard
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "another's")


def test_what_must_be_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "__version__", "2.4.0")
    with pytest.raises(UserError, match=r"fails with numpy 2\.4\.0; run: pip install 'numpy<2\.4'"):
        library.load()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(
        UserError, match=r"need coremltools, which is not installed; run: pip install 'seatrial\[coreml\]'"
    ):
        library.load()
