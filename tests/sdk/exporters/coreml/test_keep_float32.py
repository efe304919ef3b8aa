"""Keeping operations in float32 while the rest computes in float16: by name, by module, and found automatically."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from seatrial import api
from seatrial.exporters import export
from seatrial.source import ModelSource
from seatrial_runner.bundle import Bundle
from seatrial_targets.errors import ExportError, UserError
from seatrial_targets.profile import TargetProfile

Apple = Callable[..., TargetProfile]
NEAR_DB = 46.0  # relative L2 of 5e-3


class Cancelling(nn.Module):
    """Adds much and takes it away again: float16 has steps of 0.5 there, and steps of 2^-14 in float32."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x + 1000.0) - 1000.0


class Overflowing(nn.Module):
    """A square beyond 65504, the largest number in float16."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sqrt((x * 400.0) ** 2 + 1.0) / 400.0


def source(middle: nn.Module) -> ModelSource:
    torch.manual_seed(0)
    layers = {"first": nn.Linear(8, 8), "middle": middle, "last": nn.Linear(8, 8)}
    module = nn.Sequential()
    for name, layer in layers.items():
        module.add_module(name, layer)
    return ModelSource(module, torch.randn(1, 8), checks=[torch.randn(1, 8) for _ in range(3)], name="net")


def made(middle: nn.Module, target: TargetProfile, folder: Path) -> Bundle:
    return Bundle.open(export(source(middle), target, folder))


def in_float32(bundle: Bundle) -> dict[str, int]:
    """How many operations of each type the report says to be in float32, and so off the Neural Engine."""
    engine = json.loads(bundle.file("deployability.json").read_bytes())["engine"]
    rules = [each for each in engine["leaves"] if each["rule"] == "float32"]
    return {each["type"]: each["count"] for rule in rules for each in rule["operations"]}


def test_auto_keeps_what_float16_harms_and_no_more(tmp_path: Path, apple: Apple) -> None:
    bundle = made(Cancelling(), apple(coreml={"keep_float32": ["auto"]}), tmp_path)
    assert bundle.manifest.parity["sqnr_db"] > NEAR_DB
    assert in_float32(bundle) == {"linear": 1, "add": 1, "sub": 1}, "the first block; the last linear is in float16"
    assert any(note.startswith("kept in float32, off the Neural Engine: linear") for note in bundle.manifest.notes)
    assert bundle.manifest.profile["coreml"]["keep_float32"] == ["auto"]


@pytest.mark.slow
def test_float16_that_costs_too_much_is_said_with_the_place_and_the_way_out(tmp_path: Path, apple: Apple) -> None:
    bundle = made(Cancelling(), apple(), tmp_path)
    assert bundle.manifest.parity["sqnr_db"] < 30
    (said,) = [note for note in bundle.manifest.notes if "more than 0.005" in note]
    assert "_cast_fp16' (sub) is the first that far off; `--keep-float32 auto` finds" in said
    assert in_float32(bundle) == {}


@pytest.mark.parametrize(
    ("names", "kept"),
    [
        pytest.param(["middle"], {"add": 1, "sub": 1}, marks=pytest.mark.slow),
        pytest.param(["add_cast_fp16", "su*"], {"add": 1, "sub": 1}, marks=pytest.mark.slow),
        pytest.param(["*"], {"linear": 2, "add": 1, "sub": 1}, marks=pytest.mark.slow),
    ],
)
def test_operations_and_modules_are_kept_by_name(
    tmp_path: Path, apple: Apple, names: list[str], kept: dict[str, int]
) -> None:
    bundle = made(Cancelling(), apple(coreml={"keep_float32": names}), tmp_path)
    assert in_float32(bundle) == kept
    assert bundle.manifest.parity["sqnr_db"] > NEAR_DB


def test_a_name_that_nothing_has_is_refused_with_the_nearest(tmp_path: Path, apple: Apple) -> None:
    with pytest.raises(ExportError, match=r"keep_float32 names 'midle', which is no operation .*did you mean 'middle'"):
        made(Cancelling(), apple(coreml={"keep_float32": ["midle"]}), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_auto_keeps_what_overflows(tmp_path: Path, apple: Apple) -> None:
    with pytest.raises(ExportError, match=r"reaches .* times what float16 holds; keep it in float32 \(--keep-float32"):
        made(Overflowing(), apple(), tmp_path)
    bundle = made(Overflowing(), apple(coreml={"keep_float32": ["auto"]}), tmp_path)
    assert bundle.manifest.parity["sqnr_db"] > NEAR_DB
    assert in_float32(bundle)


@pytest.mark.slow
def test_auto_keeps_nothing_where_float16_is_near_enough(tmp_path: Path, apple: Apple) -> None:
    bundle = made(nn.ReLU(), apple(coreml={"keep_float32": ["auto"]}), tmp_path / "auto")
    assert in_float32(bundle) == {}
    assert any("nothing has to stay in float32" in note for note in bundle.manifest.notes)
    plain = made(nn.ReLU(), apple(), tmp_path / "plain").artifact_files()
    assert [each.sha256 for each in bundle.artifact_files()] == [each.sha256 for each in plain]


def test_a_convolution_that_took_in_a_batch_norm_is_still_known_by_its_module(tmp_path: Path, apple: Apple) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3))
    given = ModelSource(net.eval(), torch.randn(1, 1, 8, 8), name="net")
    bundle = Bundle.open(export(given, apple(coreml={"keep_float32": ["0"]}), tmp_path))
    assert in_float32(bundle) == {"conv": 1}


@pytest.mark.slow
def test_a_recurrent_layer_in_float32_by_its_module(tmp_path: Path, apple: Apple) -> None:
    torch.manual_seed(0)

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.layer, self.head = nn.Linear(4, 4), nn.LSTM(4, 8, batch_first=True), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.layer(self.before(x))[0])

    given = ModelSource(Recurrent(), torch.randn(1, 5, 4), name="recurrent")
    bundle = Bundle.open(export(given, apple(coreml={"keep_float32": ["layer"]}), tmp_path))
    assert "converted by the trace route" in bundle.manifest.notes
    assert (in_float32(bundle).get("lstm"), in_float32(bundle).get("linear")) == (1, None)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"coreml": {"keep_float32": ["auto", "conv"]}}, "auto, or names"),
        ({"precision": "fp32", "coreml": {"keep_float32": ["auto"]}}, "out of float16, but precision is fp32"),
        ({"weights": {"scheme": "linear"}, "coreml": {"keep_float32": ["auto"]}}, "which stored weights hide"),
        ({"coreml": {"keep_float32": [""]}}, "at least 1 character"),
    ],
)
def test_what_a_target_can_not_ask_for(apple: Apple, fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        apple(**fields)


def test_the_option_is_for_core_ml_in_float16(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"keep_float32 is for Core ML; target .* is for onnxruntime"):
        api.export(source(nn.ReLU()), "raspberry-pi-5-fp32", tmp_path, keep_float32=["auto"])
    with pytest.raises(UserError, match=r"target 'iphone-a18-fp16-w8': .*which stored weights hide"):
        api.export(source(nn.ReLU()), "iphone-a18-fp16-w8", tmp_path, keep_float32=["auto"])
