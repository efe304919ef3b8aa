"""Profiles for Core ML, and coremltools loaded once for all tests here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from seatrial_targets.profile import TargetProfile

pytest.importorskip("coremltools", reason="needs the extra `coreml`")


def apple_target(precision: str = "fp16", ios: str = "16", **fields: Any) -> TargetProfile:
    """Return a target for an iPhone."""
    base: dict[str, Any] = {
        "name": f"phone-{precision}",
        "summary": "for tests",
        "device": {"kind": "phone", "architecture": "aarch64", "os": "ios", "os_min": ios},
        "runtime": {"name": "coreml"},
        "precision": precision,
    }
    return TargetProfile.model_validate({**base, **fields})


@pytest.fixture(scope="session")
def apple() -> Callable[..., TargetProfile]:
    """apple("fp16", ios="17", **fields)."""
    return apple_target
