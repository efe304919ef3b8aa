"""Which device fits a target."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from seatrial_targets import registry
from seatrial_targets.profile import (
    EnumeratedShapes,
    Shape,
    ShapeRange,
    TargetProfile,
    architecture,
    span,
    version_key,
)


@pytest.mark.parametrize(
    ("machine", "fits"),
    [("x86_64", "x86_64"), ("amd64", "x86_64"), ("aarch64", "aarch64"), ("arm64", "aarch64"), ("armv7l", "armv7l"),
     ("armv8l", "armv7l"), ("riscv64", "riscv64")],
)  # fmt: skip
def test_words_for_machines(machine: str, fits: str) -> None:
    assert architecture(machine) == fits


def test_the_wrong_architecture_is_named() -> None:
    pi = registry.get("raspberry-pi-5-int8")
    assert pi.selects(machine="aarch64")
    assert pi.selects(machine="arm64", os="Linux")
    assert not pi.selects(machine="x86_64")
    assert pi.mismatch(machine="x86_64") == "the device is x86_64, but target raspberry-pi-5-int8 is for aarch64"
    assert pi.mismatch(machine="armv8l") == "the device is armv8l, but target raspberry-pi-5-int8 is for aarch64"


def test_what_is_not_reported_is_not_judged() -> None:
    assert registry.get("android-arm64-int8").selects()


@pytest.mark.parametrize(
    ("version", "fits"), [("8.1", False), ("9", True), ("9.0.1", True), ("15", True), ("10", True), ("8.9.9", False)]
)
def test_the_interval_of_the_system(version: str, fits: bool) -> None:
    assert registry.get("android-arm64-int8").selects(machine="aarch64", os="android", os_version=version) is fits


def test_the_end_of_the_interval_includes_its_patches() -> None:
    profile = registry.get("iphone-a14-fp16")
    profile = profile.model_copy(update={"device": profile.device.model_copy(update={"os_max": "18"})})
    assert profile.selects(os="ios", os_version="18.7.2")
    assert (
        profile.mismatch(os="ios", os_version="26.0") == "the device runs ios 26.0; target iphone-a14-fp16 ends at 18"
    )


def test_the_wrong_system_is_named() -> None:
    assert "runs linux, but target android-arm64-int8 is for android" in registry.get("android-arm64-int8").mismatch(
        os="linux"
    )


def test_version_key() -> None:
    assert version_key("17.4.1-beta2") == (17, 4, 1)
    assert version_key("9") < version_key("10.1")


def test_the_wrong_board_is_named() -> None:
    pi = registry.get("raspberry-pi-5-int8")
    assert pi.selects(machine="aarch64", model="Raspberry Pi 5 Model B Rev 1.0")
    assert pi.selects(model="Raspberry Pi Compute Module 5 Rev 1.0")
    assert pi.mismatch(model="Raspberry Pi 4 Model B Rev 1.4").startswith(
        "the device is a 'Raspberry Pi 4 Model B Rev 1.4', but target raspberry-pi-5-int8 is for Raspberry Pi 5*"
    )
    assert registry.get("arm64-cpu-int8").selects(model="Anything")


@pytest.mark.parametrize(
    ("base", "changes", "said"),
    [
        (
            "jetson-thor-int8",
            {"quantization": {"activation": "uint8"}},
            "activation is uint8; TensorRT takes only int8",
        ),
        ("jetson-thor-int8", {"quantization": {"symmetric": False}}, "symmetric is false; TensorRT takes only true"),
        ("jetson-thor-int8", {"quantization": {"scheme": "dynamic"}}, "scheme is dynamic; TensorRT takes only static"),
        ("jetson-thor-int8", {"quantization": {"quantize_bias": True}}, "quantize_bias is true"),
        ("x86-64-cpu-int8", {"quantization": {"rest": "fp16"}}, "rest is for TensorRT; onnxruntime takes fp32"),
        (
            "x86-64-cpu-int8",
            {"runtime": {"engine": {"sparsity": True}}},
            "engine is for TensorRT; onnxruntime builds no",
        ),
        ("jetson-thor-int8", {"runtime": {"engine": {"optimization_level": 6}}}, "less than or equal to 5"),
    ],
)
def test_what_a_runtime_has_not_is_refused(base: str, changes: dict[str, dict[str, object]], said: str) -> None:
    data = registry.get(base).model_dump(mode="json", by_alias=True)
    for key, values in changes.items():
        data[key] |= values
    with pytest.raises(ValidationError, match=said):
        TargetProfile.model_validate(data)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 3), ((1, 3), (1, 3), (1, 3))),
        (ShapeRange(min=(1, 3), opt=(4, 3), max=(8, 3)), ((1, 3), (4, 3), (8, 3))),
        (EnumeratedShapes(enumerated=((4, 2), (1, 3), (2, 9))), ((1, 2), (4, 2), (4, 9))),
    ],
)
def test_the_span_of_a_shape(shape: Shape, expected: object) -> None:
    assert span(shape) == expected
