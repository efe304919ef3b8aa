"""Small models whose exports take a second, and profiles to export them for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from seatrial_targets.profile import TargetProfile

pytest.importorskip("torch", reason="needs the extra `export`")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """One thread: these models are so small that a second one only waits, and on a busy machine for long."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def target(precision: str = "fp32", **fields: Any) -> TargetProfile:
    """target("int8", shapes={...}): a target for ONNX Runtime on x86-64."""
    base: dict[str, Any] = {
        "name": f"test-{precision}",
        "summary": "for tests",
        "device": {"kind": "computer", "architecture": "x86_64", "os": "linux"},
        "runtime": {"name": "onnxruntime"},
        "precision": precision,
        "opset": 18,
    }
    if precision == "int8":
        base["quantization"] = {"scheme": "static"}
    return TargetProfile.model_validate({**base, **fields})


@pytest.fixture
def profile() -> Callable[..., TargetProfile]:
    """profile("int8", shapes={...}): see `target`."""
    return target


@pytest.fixture
def model_file(tmp_path: Path) -> Callable[[str], Path]:
    """model_file(code): a file `user_model.py` with that code after the usual imports (5 lines)."""

    def made(code: str) -> Path:
        path = tmp_path / "user_model.py"
        path.write_text("import torch\nfrom torch import nn\n\nX = torch.ones(2, 4)\n\n" + code, encoding="utf-8")
        return path

    return made
