"""Exports of small models: what is in the bundle, whether it is right, what is said when it can't be made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from sdk.conftest import target
from seatrial.exporters import export
from seatrial.exporters.host import HostSession
from seatrial.exporters.samples import read_samples
from seatrial.source import ModelSource, load_source
from seatrial_runner.bundle import Bundle
from seatrial_targets.errors import ExportError, ModelError
from seatrial_targets.profile import TargetProfile

Profile = Callable[..., TargetProfile]


def known_conv() -> ModelSource:
    """A 1x1 convolution that doubles its input, then a batch norm that does nothing: y = 2 x + 1."""
    conv, norm = torch.nn.Conv2d(3, 3, 1), torch.nn.BatchNorm2d(3, eps=0.0)
    with torch.no_grad():
        conv.weight.copy_(2 * torch.eye(3)[:, :, None, None])
        conv.bias.fill_(1.0)
    return ModelSource(torch.nn.Sequential(conv, norm), torch.linspace(0, 1, 12).reshape(1, 3, 2, 2), name="known")


class Classifier(torch.nn.Module):
    """Convolution, ReLU6, mean over pixels, linear: what every exporter meets first."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 16, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(16)
        self.drop = torch.nn.Dropout(0.5)
        self.head = torch.nn.Linear(16, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.relu6(self.norm(self.conv(image)))
        return self.head(self.drop(x.mean((2, 3))))


def classifier(**fields: Any) -> ModelSource:
    generator = torch.Generator().manual_seed(1)
    images = [torch.randn(1, 3, 8, 8, generator=generator) for _ in range(24)]
    values: dict[str, Any] = {"calibration": images[:16], "checks": images[16:], "name": "tiny"}
    return ModelSource(Classifier().train(), images[0], **{**values, **fields})


@dataclass(frozen=True)
class Export:
    """What one export was made of, told, and left."""

    source: ModelSource
    stages: list[str]
    bundle: Bundle


def exported(folder: Path, target: TargetProfile, **fields: Any) -> Export:
    stages: list[str] = []
    source = classifier(**fields)
    path = export(source, target, folder, recipe_digest="ab" * 32, on_progress=stages.append)
    return Export(source, stages, Bundle.open(path))


@pytest.fixture(scope="module")
def in_float(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return exported(
        tmp_path_factory.mktemp("fp32"),
        target(),
        weights_licence="CC0-1.0",
        evaluate=lambda predict: {"mean": float(predict(torch.ones(1, 3, 8, 8)).mean())},
    )


@pytest.fixture(scope="module")
def in_int8(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return exported(tmp_path_factory.mktemp("int8"), target("int8"))


def test_a_known_convolution_comes_out_folded_and_exact(tmp_path: Path, profile: Profile) -> None:
    bundle = Bundle.open(export(known_conv(), profile(), tmp_path))
    assert bundle.path == tmp_path / "known.test-fp32"
    model = onnx.load(bundle.file(bundle.manifest.artifact))
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    image = np.ones((1, 3, 2, 2), np.float32)
    (output,) = HostSession(bundle.file("model.onnx")).run({"input": image}).values()
    assert np.array_equal(output, 2 * image + 1)
    assert bundle.manifest.parity["sqnr_db"] > 120
    assert bundle.manifest.precision_summary == {"float32": 1}


class TwoOutputs(torch.nn.Module):
    """One output is read by the layers that make the other, and a recurrent layer is among them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Linear(8, 8), torch.nn.LSTM(8, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        embedding = self.first(x)
        return {"embedding": embedding, "scores": self.second(embedding)[0]}


def test_an_output_that_is_read_inside_in_float16(tmp_path: Path, profile: Profile) -> None:
    bundle = Bundle.open(export(ModelSource(TwoOutputs(), torch.ones(1, 3, 8)), profile("fp16"), tmp_path))
    assert bundle.manifest.parity["sqnr_db"] > 50
    assert [each.name for each in bundle.manifest.outputs] == ["embedding", "scores"]


def test_recurrent_layers_that_stay_in_float_are_noted(tmp_path: Path, profile: Profile) -> None:
    source = ModelSource(TwoOutputs(), torch.ones(1, 3, 8), calibration=[torch.ones(1, 3, 8)])
    notes = Bundle.open(export(source, profile("int8"), tmp_path)).manifest.notes
    assert "LSTM layers stay in float32; dynamic INT8 quantizes LSTM" in notes


def test_what_the_manifest_says(in_float: Export) -> None:
    source, bundle, manifest = in_float.source, in_float.bundle, in_float.bundle.manifest
    assert (manifest.inputs[0].name, manifest.inputs[0].shape) == ("image", (1, 3, 8, 8))
    assert (manifest.outputs[0].name, manifest.outputs[0].shape) == ("output", (1, 5))
    assert manifest.outputs[0].tolerance == 1e-4
    assert (manifest.weights_licence, manifest.recipe_digest) == ("CC0-1.0", "ab" * 32)
    assert manifest.model_digest == source.digest
    assert manifest.accuracy["mean"] == pytest.approx(manifest.accuracy["mean_torch"], abs=1e-5)
    assert manifest.parity["samples"] == 8
    golden = np.load(bundle.file(manifest.outputs[0].golden))
    assert np.allclose(golden, source.call(source.inputs).numpy(), atol=1e-5)
    assert TargetProfile.model_validate(manifest.profile) == target()
    assert source.module.training, "the user's module is left in its own mode"


def test_no_path_of_this_machine_is_in_the_artifact(in_float: Export) -> None:
    data = in_float.bundle.file("model.onnx").read_bytes()
    assert str(Path(__file__).parent).encode() not in data
    assert b"site-packages" not in data
    assert b"stack_trace" not in data


def test_static_int8_stays_near(in_int8: Export) -> None:
    assert in_int8.bundle.manifest.precision_summary == {"int8": 2}
    assert 20 < in_int8.bundle.manifest.parity["sqnr_db"] < 100


@pytest.mark.parametrize(
    ("precision", "fields", "summary", "least_db"),
    [
        ("fp16", {}, {"float16": 2}, 50),
        ("int8", {"quantization": {"scheme": "static", "activation": "int8"}}, {"int8": 2}, 20),
        ("int8", {"quantization": {"scheme": "static", "calibration": "percentile"}}, {"int8": 2}, 20),
        ("int8", {"quantization": {"scheme": "static", "calibration": "entropy"}}, {"int8": 2}, 15),
        ("int8", {"quantization": {"scheme": "dynamic"}}, {"int8": 2}, 30),
    ],
)
def test_lower_precisions_stay_near(
    tmp_path: Path, profile: Profile, precision: str, fields: dict[str, Any], summary: dict[str, int], least_db: float
) -> None:
    manifest = Bundle.open(export(classifier(), profile(precision, **fields), tmp_path)).manifest
    assert manifest.precision_summary == summary
    assert least_db < manifest.parity["sqnr_db"] < 100


def test_static_int8_of_exact_weights_is_within_a_rounding_step(tmp_path: Path, profile: Profile) -> None:
    """Weights 2 and inputs k/255 are exact in 8 bits; the output 1..3 in 255 levels is off by half a level at most."""
    values = torch.arange(256, dtype=torch.float32).repeat(3)[: 3 * 256].reshape(1, 3, 16, 16) / 255
    source = known_conv()
    source = ModelSource(source.module, values, calibration=[values], name="known")
    manifest = Bundle.open(export(source, profile("int8"), tmp_path)).manifest
    assert manifest.parity["max_abs"] <= 0.75 * 3 / 255


def test_ort_format_is_what_the_device_gets(tmp_path: Path, profile: Profile) -> None:
    bundle = Bundle.open(export(classifier(), profile("int8", ort_format=True), tmp_path))
    assert bundle.manifest.artifact == "model.ort"
    assert bundle.entry("model.onnx").role == "record"
    assert bundle.manifest.size_bytes == bundle.file("model.ort").stat().st_size


def test_stages_are_told_in_order(in_int8: Export) -> None:
    assert in_int8.stages[0] == "capture the model"
    assert "calibrate on 16 samples (minmax)" in in_int8.stages
    assert in_int8.stages[-1] == "write the bundle"


def test_the_same_export_twice_is_the_same_bundle(in_int8: Export, tmp_path: Path) -> None:
    assert exported(tmp_path, target("int8")).bundle.digest == in_int8.bundle.digest


def test_dicts_of_inputs_and_outputs_keep_their_names(tmp_path: Path, profile: Profile) -> None:
    class Masked(torch.nn.Module):
        def forward(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
            return {"logits": ids * mask, "total": (ids * mask).sum(1)}

    inputs = {"ids": torch.ones(1, 4), "mask": torch.eye(4)[:1]}
    seen: list[list[str]] = []

    def evaluate(predict: Any) -> dict[str, float]:
        seen.append(sorted(predict(**inputs)))
        return {"total": float(predict(**inputs)["total"])}

    manifest = Bundle.open(export(ModelSource(Masked(), inputs, evaluate=evaluate), profile(), tmp_path)).manifest
    assert [each.name for each in manifest.inputs] == ["ids", "mask"]
    assert [each.name for each in manifest.outputs] == ["logits", "total"]
    assert manifest.accuracy == {"total": 1.0, "total_torch": 1.0}
    assert seen == [["logits", "total"], ["logits", "total"]]


BAD = """
class Branch(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x

class Eigen(nn.Module):
    def forward(self, x):
        return torch.linalg.eigvals(x).real

class Wrap(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), inner)

    def forward(self, x):
        return self.body(x)

def branch(): return Wrap(Branch()), (torch.ones(4, 4),)
def eigen(): return Wrap(Eigen()), (torch.ones(4, 4),)
def shape(): return Wrap(nn.Linear(5, 2)), (X,)
"""  # the imports of model_file take six lines before it


@pytest.mark.parametrize(
    ("factory", "line", "message"),
    [
        ("branch", 9, "in forward (module 'body.1'): torch.export can't capture the model"),
        ("eigen", 15, "in forward (module 'body.1'): operator aten.linalg_eig.default has no ONNX form"),
        ("shape", 23, "in forward (module 'body.1'): torch.export can't capture the model: RuntimeError: a and b"),
    ],
)
def test_what_can_not_be_exported_is_named_in_the_users_code(
    tmp_path: Path, profile: Profile, model_file: Callable[[str], Path], factory: str, line: int, message: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = model_file(BAD)
    with pytest.raises(ExportError) as caught:
        export(load_source(f"{path}:{factory}"), profile(), tmp_path, log=tmp_path / "why.log")
    assert f"user_model.py:{line} {message}" in str(caught.value)
    assert str(caught.value).count("\n") == 0
    assert "Traceback" in (tmp_path / "why.log").read_text()
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ([], "calibration is empty"),
        (iter(()), "a generator can be used up only once"),
        ([torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8).double()], r"calibration\[1\]: 'image' is float64"),
        ([torch.zeros(1, 3, 9, 8)], r"calibration\[0\]: 'image' has shape \[1, 3, 9, 8\]"),
        ([(torch.zeros(1, 3, 8, 8), 7)], r"calibration\[0\]: has 2 tensors.*without labels"),
        ([torch.full((1, 3, 8, 8), float("nan"))], r"calibration\[0\]: 'image' holds NaN"),
        ([{"imgae": torch.zeros(1, 3, 8, 8)}], "did you mean 'image'"),
        (lambda: 1 / 0, r"calibration\[0\]: the iterable raised ZeroDivisionError"),
        (3, "calibration is a int; give an iterable"),
    ],
)
def test_bad_samples(calibration: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        read_samples(classifier(calibration=calibration), "calibration", {"image": (1, 3, 8, 8)})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"calibration": None}, "static INT8 needs calibration data"),
        ({"calibration": [torch.zeros(1, 3, 9, 8)]}, r"calibration\[0\]: 'image' has shape \[1, 3, 9, 8\]"),
        ({"checks": []}, "checks is empty"),
        ({"evaluate": lambda predict: {"a": float("nan")}}, "a metric must be finite"),
        ({"evaluate": lambda predict: 3}, "evaluate returned a int"),
        ({"evaluate": lambda predict: {"a": 1 / 0}}, "test_export.py:.*evaluate raised ZeroDivisionError"),
    ],
)
def test_bad_data(tmp_path: Path, profile: Profile, fields: dict[str, Any], message: str) -> None:
    precision = "fp32" if "evaluate" in fields else "int8"
    with pytest.raises((ModelError, ExportError), match=message):
        export(classifier(**fields), profile(precision), tmp_path)
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_a_batch_of_calibration_images_is_split(tmp_path: Path, profile: Profile) -> None:
    manifest = Bundle.open(
        export(classifier(calibration=[torch.randn(6, 3, 8, 8)]), profile("int8"), tmp_path)
    ).manifest
    assert "calibrated on 6 samples" in manifest.notes


def test_float16_overflow_is_an_error(tmp_path: Path, profile: Profile) -> None:
    source = ModelSource(torch.nn.Linear(4, 4), torch.full((1, 4), 1e6), name="big")
    with pytest.raises(ExportError, match="float16 ends at 65504, and the model's value 'input' reaches 1e"):
        export(source, profile("fp16"), tmp_path)


def test_bad_names(tmp_path: Path, profile: Profile) -> None:
    with pytest.raises(ExportError, match="can't name a bundle"):
        export(known_conv(), profile(), tmp_path, name="../up")


def test_an_opset_that_can_not_be_had(tmp_path: Path, profile: Profile) -> None:
    class Sampled(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.grid_sample(x, torch.zeros(1, 2, 2, 2), align_corners=False)

    with pytest.raises(ExportError, match=r"asks for opset 13, but the model needs \d+ \(GridSample is newer"):
        export(ModelSource(Sampled(), torch.ones(1, 3, 8, 8)), profile(opset=13), tmp_path)
