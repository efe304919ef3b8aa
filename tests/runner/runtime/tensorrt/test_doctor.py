"""`devices check` on what shall run TensorRT: a Jetson, one that lacks something, and an ordinary phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from peers import trt
from seatrial_runner.condition.finding import Finding
from seatrial_runner.records import DeviceState
from seatrial_runner.runtime.tensorrt.doctor import examine, phone_targets, why_not
from seatrial_runner.runtime.tensorrt.identity import Identity
from seatrial_runner.runtime.tensorrt.version import Version
from seatrial_runner.transport import open_transport
from seatrial_targets.inventory import Device

LINUX = DeviceState(unix_ns=1, os="Ubuntu 22.04", machine="aarch64")
PHONE = DeviceState(unix_ns=1, os="Android 15", machine="aarch64")


def findings(device: Device, state: DeviceState = LINUX) -> dict[str, Finding]:
    with open_transport(device) as transport:
        return {found.check: found for found in examine(device, transport, state)}


def test_a_device_with_tensorrt(jetson: Device) -> None:
    found = findings(jetson)
    assert found["TensorRT"].level == "ok"
    assert found["TensorRT"].text.startswith("10.3.0 by /")
    assert found["GPU"].text == "Orin, 8 SMs, compute capability 8.7"
    assert "stand-in" in found["stand-in"].text
    assert found["power mode"].level == "note"


def test_an_ordinary_phone_is_told_plainly_and_which_targets_to_use() -> None:
    text = why_not(Identity(), PHONE)
    assert "TensorRT does not exist for Android phones" in text
    assert "android-arm64-int8" in text
    assert set(phone_targets()) >= {"android-arm64-fp32", "android-arm64-fp16", "android-arm64-int8"}
    assert not any("tegra" in name for name in phone_targets())


@pytest.mark.parametrize(
    ("identity", "state", "words"),
    [
        (Identity(absent="/opt/trtexec"), LINUX, "there is no program /opt/trtexec"),
        (
            Identity(version=Version(10, 3, 0, 30)),
            LINUX,
            "has TensorRT 10.3.0.30, but no trtexec: sudo apt-get install",
        ),
        (Identity(l4t="36.4.3"), LINUX, "has L4T 36.4.3, but no trtexec"),
        (Identity(libraries=("/vendor/lib64/libnvinfer.so",)), PHONE, "push one, and name it"),
        (Identity(trtexec="/t", problem="it finds no GPU"), LINUX, "/t can't be used: it finds no GPU"),
        (Identity(), LINUX, "sudo apt-get install nvidia-jetpack"),
        (Identity(trtexec="/t"), LINUX, ""),
    ],
)
def test_what_is_missing_and_what_helps(identity: Identity, state: DeviceState, words: str) -> None:
    assert words in why_not(identity, state)
    assert bool(why_not(identity, state)) == bool(words)


def test_who_else_uses_the_gpu(jetson: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "tegrastats"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nwhile :; do echo 'RAM 1/2MB GR3D_FREQ 84%@[713]'; sleep .2; done\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    assert findings(jetson)["GPU load"] == Finding(
        "GPU load", "warning", "84 % in use: something else runs on it; stop it"
    )


def test_a_trtexec_that_finds_no_gpu(jetson: Device, trtexec: Path) -> None:
    trt.configure(trtexec, faults={"device": "none"})
    assert "no CUDA-capable device" in findings(jetson)["TensorRT"].text


def test_a_device_with_the_python_runner(jetson: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_python = jetson.model_copy(update={"runner": "python"})
    lacking = findings(with_python)["Python runner"]
    assert (lacking.level, lacking.command) == ("error", "sudo apt-get install python3-libnvinfer")
    assert "No module named 'tensorrt'" in lacking.text
    (tmp_path / "tensorrt.py").write_text("__version__ = '10.3.0'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = findings(with_python)["Python runner"]
    assert (found.level, found.text.partition(" in Python ")[0]) == ("ok", "TensorRT 10.3.0")


def test_the_python_runner_does_without_trtexec(jetson: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """The problem of trtexec stays told, as a note."""
    monkeypatch.setattr(
        "seatrial_runner.runtime.tensorrt.doctor.identify", lambda *_: Identity(version=Version(10, 3, 0))
    )
    assert findings(jetson)["TensorRT"].level == "error"
    told = findings(jetson.model_copy(update={"runner": "python"}))["TensorRT"]
    assert (told.level, told.command) == ("note", "")


def test_a_python_that_is_too_old(jetson: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "python3"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 3.6.9 8.2.1.8\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr("seatrial_runner.runtime.tensorrt.doctor.identify", lambda *_: Identity(l4t="32.7.4"))
    old = findings(jetson.model_copy(update={"runner": "python"}))["Python runner"]
    assert (old.level, old.text) == ("error", "Python 3.6.9 is too old: 3.8 or later")
