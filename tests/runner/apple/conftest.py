"""Bundles for Core ML without coremltools, and stand-ins for Apple devices behind real servers."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from peers import mac, pymobiledevice3
from peers.devices import ssh_device, trusted
from peers.iphone import UDID, StandInPhone
from peers.sshd import Sshd
from seatrial_runner.bundle import Bundle, Content, write_bundle
from seatrial_runner.plan import Plan
from seatrial_targets import registry
from seatrial_targets.inventory import Device

X, Y = np.array([[1, 2]], np.float32), np.array([[0.5, 2, -1]], np.float32)


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def _tensor(name: str, array: np.ndarray, tolerance: float | None = None) -> dict[str, object]:
    shape, dtype = list(array.shape), str(array.dtype)
    golden = {"golden": f"golden/{name}.npy", "golden_shape": shape, "tolerance": tolerance}
    return {"name": name, "dtype": dtype, "shape": shape, **golden}


@pytest.fixture
def make_package(tmp_path: Path) -> Callable[..., Bundle]:
    """Makes bundles whose package no Core ML would take: the stand-ins look at golden files alone."""

    def make(target: str = "mac-apple-silicon-fp16", name: str = "tiny") -> Bundle:
        profile = registry.get(target)
        contents = {
            "model.mlpackage/Manifest.json": Content("artifact", b"{}"),
            "model.mlpackage/Data/com.apple.CoreML/model.mlmodel": Content("artifact", name.encode()),
            "golden/x.npy": Content("golden_input", _npy(X)),
            "golden/y.npy": Content("golden_output", _npy(Y)),
        }
        fields = {
            "name": name,
            "target": target,
            "profile": profile.model_dump(mode="json", by_alias=True),
            "runtime": "coreml",
            "precision": profile.precision,
            "artifact": "model.mlpackage",
            "inputs": (_tensor("x", X),),
            "outputs": (_tensor("y", Y, 0.01),),
        }
        return write_bundle(tmp_path / f"{name}.{target}", contents, fields)

    return make


QUICK = Plan(
    solo_runs=1,
    memory_runs=1,
    energy_runs=0,
    solo_iterations=4,
    duet_iterations=4,
    memory_iterations=2,
    warmup_iterations=1,
    warmup_min_ns=0,
    warmup_max_ns=1_000_000,
    run_seconds=60,
)
STAND_IN = "stand-in for an Apple device"


@pytest.fixture
def new_mac(new_sshd: Callable[..., Sshd], tmp_path: Path, own_home: Path) -> Callable[..., Device]:
    """Starts stand-in Macs behind an sshd each."""

    def start(**options: bool) -> Device:
        server = new_sshd(path=mac.install(tmp_path / "mac-bin", **options))
        row = {"name": "mini", "target": "mac-apple-silicon-fp16", "stamp": STAND_IN}
        return trusted(ssh_device(server, **row))

    return start


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[StandInPhone]:
    """A stand-in phone that hangs on this machine."""
    made = StandInPhone(tmp_path / "iphone")
    yield made
    made.stop()


@pytest.fixture
def by_usb(phone: StandInPhone, own_home: Path, monkeypatch: pytest.MonkeyPatch) -> Device:
    """That phone as a device, reached by the real program."""
    monkeypatch.setenv("PATH", f"{pymobiledevice3.install()}:{os.environ['PATH']}")
    monkeypatch.setenv("USBMUXD_SOCKET_ADDRESS", phone.address)
    return Device(name="phone", target="iphone-a15-fp16", stamp=STAND_IN, transport="usbmux", serial=UDID)
