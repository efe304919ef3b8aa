"""Whole models, exported for Core ML in FP16: the saved package, executed here, means what torch means."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from seatrial.exporters import export
from seatrial.source import ModelSource, Predict
from seatrial_runner.bundle import Bundle
from seatrial_runner.manifest import Manifest
from seatrial_targets.profile import TargetProfile

from .models import made
from .real import REAL

NEAR_DB = 46.0  # relative L2 of 5e-3
# A hum leaves most bins of the voice detector's spectrum empty; what float16 rounds in the hum lands there.
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
@pytest.mark.parametrize(
    ("name", "ios"),
    # iOS 18 has one operation for attention, and sub-byte types; the others hardly differ.
    [("resnet", 16), ("mobilenetv3", 17), ("vit", 16), ("vit", 18), ("unet", 17), ("ssd", 16), ("ssd", 17),
     ("lstm", 16),     ("gru", 18), ("encoder", 18), ("audio", 16)],
)  # fmt: skip
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
def test_the_spectrum_of_a_voice_detector_is_what_has_to_stay_in_float32(tmp_path: Path) -> None:
    module, inputs = REAL["silero-vad"]()
    target = iphone(17).keeping_float32(["auto"])
    manifest = exported(ModelSource(module.eval(), inputs, name="voice"), target, tmp_path)
    assert manifest.parity["sqnr_db"] > NEAR_DB
    (kept,) = [note.partition(": ")[2].split(", ") for note in manifest.notes if note.startswith("kept in float32")]
    assert (kept[0], kept[-1], len(kept)) == ("pad", "sqrt", 9), "from the wave to the size of each bin"
    assert manifest.precision_summary["float32"] == 1 < manifest.precision_summary["float16"]


@pytest.mark.slow
def test_one_layer_of_efficientnet_lite0_in_float32_brings_it_near(tmp_path: Path) -> None:
    # Its first depthwise filters have weights of up to 18 that nearly cancel: what float16 rounds off them is left.
    from seatrial.demo import efficientnet_lite0

    every = list(efficientnet_lite0.checks())
    source = dataclasses.replace(efficientnet_lite0.build(), checks=every[:: len(every) // 8][:8], evaluate=None)
    target = iphone(17).keeping_float32(["_blocks.0._depthwise_conv"])
    manifest = exported(source, target, tmp_path)
    assert manifest.parity["sqnr_db"] > NEAR_DB
    assert manifest.precision_summary["float32"] == 1


@pytest.mark.slow
def test_in_float32_hardly_anything_is_left(tmp_path: Path) -> None:
    module, inputs = REAL["silero-vad"]()
    manifest = exported(ModelSource(module, inputs, name="voice"), iphone(16, "fp32"), tmp_path)
    assert manifest.parity["sqnr_db"] > 110


@pytest.mark.slow
def test_efficientnet_lite0_with_a_metric_of_the_users_own(tmp_path: Path) -> None:
    from seatrial.demo import efficientnet_lite0

    crops = list(itertools.islice(efficientnet_lite0.checks(), 0, 40, 10))

    def evaluate(predict: Predict) -> dict[str, float]:
        return {"espresso": float(predict(torch.from_numpy(crops[1])).softmax(1)[0, 967])}

    source = dataclasses.replace(efficientnet_lite0.build(), checks=crops, evaluate=evaluate)
    manifest = exported(source, iphone(16), tmp_path)
    assert manifest.parity["golden_sqnr_db"] > NEAR_DB
    # Over photographs FP16 is as far from torch as ONNX Runtime's FP16 is: 7e-3.
    assert manifest.parity["sqnr_db"] > 41.0
    assert (manifest.parity["samples"], manifest.parity["top1_agreement"]) == (4, 1.0)
    assert manifest.accuracy["espresso"] == pytest.approx(manifest.accuracy["espresso_torch"], rel=0.02)
    assert manifest.precision_summary == {"float16": 50}


@pytest.fixture
def own_transformers(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None] | None:
    """Offline, and without progress bars."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("TRANSFORMERS_VERBOSITY", "error")
    return None
