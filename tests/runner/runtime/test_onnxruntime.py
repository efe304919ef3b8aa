"""From a bundle's manifest to the agent's job."""

from __future__ import annotations

import pytest

from seatrial_runner.job import ArmJob, TensorFile
from seatrial_runner.manifest import Manifest
from seatrial_runner.runtime.base import get_runtime
from seatrial_runner.runtime.ort_job import DEFAULT_TOLERANCE, arm_job
from seatrial_targets import registry
from seatrial_targets.errors import BundleError, UnknownNameError

X = {"name": "x", "dtype": "float32", "shape": ["batch", 3], "golden_shape": [1, 3], "golden": "golden/x.npy"}
Y = {"name": "y", "dtype": "int64", "shape": ["batch"], "golden_shape": [1], "golden": "golden/y.npy", "tolerance": 0.5}
RAW = {
    "schema": "seatrial.bundle/1",
    "name": "tiny",
    "target": "x86-64-cpu-fp32",
    "profile": {},
    "runtime": "onnxruntime",
    "precision": "fp32",
    "artifact": "model.onnx",
    "files": [],
    "inputs": [X],
    "outputs": [Y],
    "size_bytes": 0,
}
PROFILE = registry.get("x86-64-cpu-fp32")


def manifest(**changes: object) -> Manifest:
    return Manifest.model_validate({**RAW, **changes})


def arm(**changes: object) -> ArmJob:
    return arm_job(manifest(**changes), PROFILE, lambda path: f"/device/{path}")


def test_paths_become_those_of_the_device() -> None:
    made = arm()
    assert made.model == "/device/model.onnx"
    assert made.inputs == (TensorFile("x", "float32", (1, 3), "/device/golden/x.npy"),)
    assert made.outputs == (TensorFile("y", "int64", (1,), "/device/golden/y.npy", 0.5),)


def test_the_profiles_options_are_passed_on() -> None:
    runtime = PROFILE.runtime.model_copy(
        update={"providers": ("CPUExecutionProvider",), "optimization": "basic", "config": {"k": "v"}}
    )
    profile = PROFILE.model_copy(update={"runtime": runtime})
    made = arm_job(manifest(), profile, str)
    assert (made.providers, made.optimization, made.config) == (("CPUExecutionProvider",), "basic", {"k": "v"})


def test_a_missing_tolerance_is_strict() -> None:
    assert arm(outputs=[{**Y, "tolerance": None}]).outputs[0].tolerance == DEFAULT_TOLERANCE


def test_a_tolerance_of_zero_stays_zero() -> None:
    assert arm(outputs=[{**Y, "tolerance": 0.0}]).outputs[0].tolerance == 0


def test_a_bundle_for_another_runtime() -> None:
    with pytest.raises(BundleError, match="coreml"):
        arm(runtime="coreml")


def test_a_bundle_without_golden_outputs_is_refused() -> None:
    with pytest.raises(BundleError, match="golden outputs"):
        arm(outputs=[])


def test_the_table() -> None:
    assert get_runtime("onnxruntime").name == "onnxruntime"
    with pytest.raises(UnknownNameError, match="did you mean 'onnxruntime'"):
        get_runtime("onxruntime")
