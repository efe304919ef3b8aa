"""All worlds of one harness, made when they are wanted, and the two small bundles that every trial measures."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from faults.worlds import LabWorld, LocalWorld, SshWorld, World
from peers import lab
from peers.devices import trusted
from peers.sshd import free_port
from seatrial_runner.bundle import Content, write_bundle
from seatrial_targets import registry
from seatrial_targets.inventory import Device

TARGET = "x86-64-cpu-fp32"


class Stage:
    """Use as a context manager: takes everything away again. Sets HOME and adb's port for this process."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._worlds = folder, dict[str, World]()
        home = folder / "home"
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        os.environ |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache"), "SSH_AUTH_SOCK": ""}
        os.environ["ANDROID_ADB_SERVER_PORT"] = str(free_port())
        self.home = home
        self.bundles = {name: _bundle(folder / "bundles" / name, depth) for name, depth in BUNDLES.items()}

    def world(self, wire: str) -> World:
        """Return the world of a wire."""
        if wire not in self._worlds:
            self._worlds[wire] = self._made(wire)
        return self._worlds[wire]

    def _made(self, wire: str) -> World:
        place = self.folder / wire
        place.mkdir()
        runtime = installed_library()
        made: dict[str, Callable[[], World]] = {
            "local": lambda: LocalWorld(place, runtime),
            "ssh": lambda: SshWorld(place, runtime, self.home),
            "pi": lambda: self._lab("pi", "sshd", 22),
            "droid": lambda: self._lab("droid", "adbd", 5555),
        }
        return made[wire]()

    def _lab(self, kind: str, server: str, port: int) -> World:
        lab.build(lab.NATIVE)
        board = lab.LabDevice(kind, server, port, lab.NATIVE)
        board.up()
        row = {"name": kind, "target": TARGET, "address": board.address}
        over = {"pi": {"transport": "ssh", "user": "pi", "key": str(lab.NATIVE / "key")}, "droid": {"transport": "adb"}}
        device = Device.model_validate({**row, **over[kind]})
        return LabWorld(kind, board, trusted(device) if kind == "pi" else device)

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for world in self._worlds.values():
            world.close()


BUNDLES = {"candidate": 4, "baseline": 8}


def installed_library() -> str:
    """Return the ONNX Runtime library of this Python."""
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None
    assert spec.origin is not None
    return str(next((Path(spec.origin).parent / "capi").glob("libonnxruntime.so.*")))


def _bundle(path: Path, depth: int) -> Path:
    import numpy as np

    from runner.conftest import matmul_chain, npy

    x = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 64)
    tensor = {"dtype": "float32", "shape": (1, 64), "golden_shape": (1, 64)}
    profile = registry.get(TARGET).model_copy(update={"preparation": ("knob",)})
    fields = {
        "name": path.name,
        "target": TARGET,
        "profile": profile.model_dump(mode="json", by_alias=True),
        "runtime": "onnxruntime",
        "precision": "fp32",
        "artifact": "model.onnx",
        "inputs": ({"name": "x", "golden": "golden/x.npy", **tensor},),
        "outputs": ({"name": "y", "golden": "golden/y.npy", "tolerance": 1e-4, **tensor},),
    }
    contents = {
        "model.onnx": Content("artifact", matmul_chain(depth)),
        "golden/x.npy": Content("golden_input", npy(x)),
        "golden/y.npy": Content("golden_output", npy(x)),
    }
    return write_bundle(path, contents, fields).path
