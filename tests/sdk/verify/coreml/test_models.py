"""Whole models, exported for Core ML in FP16: the saved package, executed here, means what torch means."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from seatrial.exporters import export
from seatrial.source import ModelSource
from seatrial_runner.bundle import Bundle
from seatrial_runner.manifest import Manifest
from seatrial_targets.profile import TargetProfile

from .models import MODELS, made
from .real import REAL

NEAR_DB = 46.0  # relative L2 of 5e-3
# FP16 itself costs this voice detector 2e-2 on a hum, its rounded weights alone as much; in FP32 it is exact.
LESS_DB = {"silero-vad": 32.0}


def iphone(ios: int, precision: str = "fp16") -> TargetProfile:
    return TargetProfile.model_validate(
        {
            "name": f"iphone-ios{ios}-{precision}",
            "summary": "for tests",
            "device": {"kind": "phone", "architecture": "aarch64", "os": "ios", "os_min": str(ios)},
            "runtime": {"name": "coreml"},
            "precision": precision,
        }
    )


def exported(source: ModelSource, target: TargetProfile, folder: Path) -> Manifest:
    return Bundle.open(export(source, target, folder)).manifest


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ios", [16, 18])
def test_a_model_of_each_kind(tmp_path: Path, name: str, ios: int) -> None:
    module, inputs = made(name)
    manifest = exported(ModelSource(module, inputs, name=name), iphone(ios), tmp_path)
    assert manifest.parity["sqnr_db"] > NEAR_DB
    route = "trace" if name in ("lstm", "gru") else "export"
    assert f"converted by the {route} route" in manifest.notes


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_real_weights(tmp_path: Path, name: str, own_transformers: None) -> None:
    module, inputs = REAL[name]()
    manifest = exported(ModelSource(module.eval(), inputs, name=name), iphone(17), tmp_path)
    assert manifest.parity["sqnr_db"] > LESS_DB.get(name, NEAR_DB)


@pytest.mark.slow
def test_in_float32_hardly_anything_is_left(tmp_path: Path) -> None:
    module, inputs = REAL["silero-vad"]()
    manifest = exported(ModelSource(module, inputs, name="voice"), iphone(16, "fp32"), tmp_path)
    assert manifest.parity["sqnr_db"] > 110


@pytest.mark.slow
def test_efficientnet_lite0_with_the_users_own_metric(tmp_path: Path) -> None:
    from seatrial.demo import efficientnet_lite0

    manifest = exported(efficientnet_lite0.build(), iphone(16), tmp_path)
    assert manifest.parity["sqnr_db"] > NEAR_DB
    assert (manifest.parity["samples"], manifest.parity["top1_agreement"]) == (60, 1.0)
    assert manifest.accuracy["top1"] == manifest.accuracy["top1_torch"]
    assert manifest.precision_summary == {"float16": 50}


@pytest.fixture
def own_transformers(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None] | None:
    """Offline, and without progress bars."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")
    return None
