"""Bundles that several tests look at, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from seatrial.exporters import export
from seatrial_runner.bundle import Bundle
from seatrial_runner.enginebuild import ENGINE_BUILD_FILE, EngineBuild, read_engine_build

from .models import Joined, Residual, source, target

Opened = tuple[Bundle, onnx.ModelProto, EngineBuild]
MADE: dict[str, Callable[[], tuple[Any, Any]]] = {
    "fp32": lambda: (source(Residual()), target("jetson-orin-nano-fp32")),
    "fp16": lambda: (source(Residual()), target("jetson-orin-nano-fp16")),
    "int8": lambda: (source(Residual()), target("jetson-orin-nano-int8")),
    "int8 for 10": lambda: (source(Residual()), target("jetson-thor-int8")),
    "int8 and fp32": lambda: (source(Residual()), target(quantization={"rest": "fp32"})),
    "joined": lambda: (source(Joined()), target(quantization={"rest": "fp32"})),
}


def opened(path: Path) -> Opened:
    bundle = Bundle.open(path)
    return bundle, onnx.load(bundle.file("model.onnx")), read_engine_build(bundle.file(ENGINE_BUILD_FILE))


@pytest.fixture(scope="session")
def bundle_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Opened]:
    """bundle_of("int8"): what `MADE` says, exported once in a session."""
    found: dict[str, Opened] = {}

    def made(name: str) -> Opened:
        if name not in found:
            found[name] = opened(export(*MADE[name](), tmp_path_factory.mktemp("exported")))
        return found[name]

    return made
