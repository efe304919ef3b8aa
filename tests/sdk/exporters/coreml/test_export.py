"""Exports of small models for Core ML: what the package is, which route it took, what is said when there is none."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from seatrial.cli import cli
from seatrial.exporters import export
from seatrial.source import ModelSource
from seatrial.verify.coreml import library
from seatrial_runner.bundle import Bundle
from seatrial_targets.errors import ExportError
from seatrial_targets.profile import TargetProfile

Apple = Callable[..., TargetProfile]


class Gated(torch.nn.Module):
    """A convolution and a sum over a mask: float and bool inputs, two named outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        seen = torch.relu(self.conv(image)) * mask
        return {"features": seen, "total": seen.sum((1, 2, 3))}


def gated() -> ModelSource:
    torch.manual_seed(1)
    inputs = {"image": torch.rand(1, 3, 8, 8), "mask": torch.ones(1, 1, 8, 8, dtype=torch.bool)}
    return ModelSource(Gated(), inputs, name="gated")


class Recurrent(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.LSTM(8, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)[0]


def spec(bundle: Bundle) -> object:
    folder = bundle.path / bundle.manifest.artifact
    return library.load().models.MLModel(str(folder), skip_model_load=True).get_spec()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, apple: Apple) -> Bundle:
    return Bundle.open(export(gated(), apple(), tmp_path_factory.mktemp("gated")))


def test_a_package_with_the_names_and_types_that_were_asked_for(bundle: Bundle) -> None:
    found = spec(bundle)
    assert found.specificationVersion == 7  # iOS 16
    assert [each.name for each in found.description.input] == ["image", "mask"]
    assert [each.name for each in found.description.output] == ["features", "total"]
    assert [(each.name, each.dtype) for each in bundle.manifest.inputs] == [("image", "float32"), ("mask", "float32")]
    assert {entry.path.split("/")[-1] for entry in bundle.artifact_files()} == {
        "Manifest.json",
        "model.mlmodel",
        "weight.bin",
    }
    assert "converted by the export route" in bundle.manifest.notes
    golden = np.load(bundle.file(bundle.manifest.outputs[0].golden))
    assert golden.shape == (1, 4, 8, 8)


def test_parity_is_that_of_the_worst_output_and_of_each(bundle: Bundle) -> None:
    each = [bundle.manifest.parity[f"golden_sqnr_db.{name}"] for name in ("features", "total")]
    assert min(each) == pytest.approx(bundle.manifest.parity["golden_sqnr_db"])
    assert max(each) > min(each)


def test_show_says_what_it_needs_and_what_may_leave_the_neural_engine(bundle: Bundle) -> None:
    said = CliRunner().invoke(cli, ["bundle", "show", str(bundle.path)]).stdout
    assert "Needs iOS 16, macOS 13 or later" in said
    assert re.search(r"conv +1 +iOS 15, macOS 12 +iOS 15, macOS 12", said)
    assert "are known to leave it" in said
    assert "an estimate from public sources" in said
    assert re.search(r"parity of each output +features \d+\.\d dB, total \d+\.\d dB", said)
    document = json.loads(CliRunner().invoke(cli, ["bundle", "show", str(bundle.path), "--json"]).stdout)
    assert document["deployability"]["schema"] == "seatrial.deployability/1"
    assert {each["type"] for each in document["deployability"]["operations"]} >= {"conv", "mul", "reduce_sum"}


def layers(bundle: Bundle, *words: str) -> Result:
    return CliRunner().invoke(cli, ["bundle", "layers", str(bundle.path), *words])


def test_each_operation_is_compared_with_its_node_in_torch(bundle: Bundle, tmp_path: Path) -> None:
    found = json.loads(layers(bundle, "--source", f"{__file__}:gated", "--json").stdout)
    own = {each["op"]: each["own_db"] for each in found["layers"]}
    assert set(own) >= {"conv", "relu", "mul", "reduce_sum"}
    assert all(each["after_db"] > 50 for each in found["layers"])
    assert found["departs"] is None
    said = layers(bundle)
    assert said.exit_code == 2
    assert "name it, --source" in said.stderr
    (tmp_path / "other.py").write_text("import torch\ndef build():\n    return torch.nn.ReLU(), (torch.ones(1, 3),)\n")
    said = layers(bundle, "--source", f"{tmp_path / 'other.py'}:build")
    assert said.exit_code == 2
    assert "made of another model" in said.stderr


def test_the_same_export_again_is_the_same_bundle_and_prints_nothing(
    bundle: Bundle, tmp_path: Path, apple: Apple, capfd: pytest.CaptureFixture[str]
) -> None:
    stages: list[str] = []
    again = Bundle.open(export(gated(), apple(), tmp_path, on_progress=stages.append))
    assert again.digest == bundle.digest
    assert capfd.readouterr() == ("", "")
    assert any(stage.startswith("Running MIL default pipeline") for stage in stages)


@pytest.mark.slow
def test_a_recurrent_layer_goes_by_a_trace(tmp_path: Path, apple: Apple) -> None:
    bundle = Bundle.open(export(ModelSource(Recurrent(), torch.rand(1, 5, 8)), apple(), tmp_path))
    assert "converted by the trace route" in bundle.manifest.notes
    assert any("lstm" in note for note in bundle.manifest.notes)


class Bessel(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


def test_an_operator_without_a_conversion_is_named_with_its_place(tmp_path: Path, apple: Apple) -> None:
    source = ModelSource(torch.nn.Sequential(torch.nn.Linear(4, 4), Bessel()), torch.rand(1, 4))
    with pytest.raises(ExportError) as caught:
        export(source, apple(), tmp_path)
    assert "in forward (module '1'): operator 'special_bessel_j0' can't be converted" in str(caught.value)
    assert "test_export.py:" in str(caught.value)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ({"os": "linux"}, "runs Core ML on linux"),
        ({"os": "ios"}, "has no device.os_min"),
        ({"os": "ios", "os_min": "14"}, "ML programs need iOS 15 or later"),
        ({"os": "macos", "os_min": "11"}, "ML programs need macOS 12 or later"),
    ],
)
def test_systems_without_ml_programs(tmp_path: Path, apple: Apple, device: dict[str, str], message: str) -> None:
    target = apple(device={"kind": "phone", "architecture": "aarch64", **device})
    with pytest.raises(ExportError, match=message):
        export(gated(), target, tmp_path)
