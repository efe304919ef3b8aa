"""Every way to store weights and to exchange values: what is in the package, how big it is, how far from torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seatrial.exporters import export
from seatrial.exporters.coreml.departure import departures
from seatrial.source import ModelSource
from seatrial.verify.coreml import library
from seatrial.verify.coreml.session import PackageSession
from seatrial_runner.bundle import Bundle
from seatrial_targets.errors import ExportError
from seatrial_targets.profile import TargetProfile

Apple = Callable[..., TargetProfile]


def source(**fields: Any) -> ModelSource:
    """A small net with 13 thousand weights in two layers, and data to calibrate on."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU6(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU6(),
                        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(128, 32))  # fmt: skip
    images = [torch.rand(1, 3, 8, 8) for _ in range(12)]
    values: dict[str, Any] = {"calibration": images[:8], "checks": images[8:], "name": "small"}
    return ModelSource(net, **{"example_inputs": images[0], **values, **fields})


def bundle(made: ModelSource, target: TargetProfile, folder: Path) -> Bundle:
    return Bundle.open(export(made, target, folder))


def spec(made: Bundle) -> Any:
    folder = made.path / made.manifest.artifact
    return library.load().models.MLModel(str(folder), skip_model_load=True).get_spec()


def size(made: Bundle) -> int:
    """Bytes of the weights alone."""
    return next(each.size_bytes for each in made.artifact_files() if each.path.endswith("weight.bin"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ios", "weights", "form", "smaller", "least_db"),
    [
        ("16", {"scheme": "linear", "bits": 8}, "int8", 1.75, 35),
        ("18", {"scheme": "linear", "bits": 4, "granularity": "per_group", "group_size": 16}, "int4", 2.9, 15),
        ("16", {"scheme": "palettize", "bits": 6, "granularity": "per_tensor"}, "palettized 6 bit", 2.2, 25),
        ("16", {"scheme": "palettize", "bits": 4, "granularity": "per_tensor"}, "palettized 4 bit", 3.0, 15),
        (
            "18",
            {"scheme": "palettize", "bits": 4, "granularity": "per_group", "group_size": 8},
            "palettized 4 bit",
            3.0,
            15,
        ),
        ("18", {"scheme": "palettize", "bits": 3, "granularity": "per_tensor"}, "palettized 3 bit", 3.8, 8),
    ],
)
def test_weights_that_are_stored_smaller(
    tmp_path: Path, apple: Apple, ios: str, weights: dict[str, Any], form: str, smaller: float, least_db: float
) -> None:
    whole = bundle(source(), apple(ios=ios), tmp_path / "whole")
    made = bundle(source(), apple(ios=ios, weights=weights), tmp_path / "made")
    assert whole.manifest.precision_summary == {"float16": 3}
    assert made.manifest.precision_summary == {form: 2, "float16": 1}  # the first layer is too small to gain
    assert size(whole) / size(made) > smaller
    assert least_db < made.manifest.parity["sqnr_db"] < 60


@pytest.mark.slow
def test_the_first_operation_that_departs_from_torch_is_named(tmp_path: Path, apple: Apple) -> None:
    # Two values for all weights of the second convolution; the first is too small to be stored so.
    target = apple(weights={"scheme": "palettize", "bits": 1, "granularity": "per_tensor"})
    found = departures(bundle(source(), target, tmp_path), source(), lambda _stage: None)
    first, *_ = found["layers"]
    assert (first["op"], first["after_db"] > 50) == ("conv", True)
    assert (found["departs"]["op"], found["departs"]["name"]) == ("conv", "conv2d_1_cast_fp16")
    assert found["departs"]["own_db"] < 10
    fed_by_torch = next(each for each in found["layers"] if each["op"] == "reduce_mean" or "pool" in each["op"])
    assert fed_by_torch["own_db"] > 50 > 20 > fed_by_torch["after_db"]


@pytest.mark.slow
def test_a_palette_is_the_same_each_time(tmp_path: Path, apple: Apple) -> None:
    target = apple(weights={"scheme": "palettize", "bits": 4, "granularity": "per_tensor"})
    first, second = (bundle(source(checks=None), target, tmp_path / name) for name in "ab")
    assert first.digest == second.digest


def pruned(part: float) -> ModelSource:
    made = source()
    with torch.no_grad():
        for layer in (made.module[2], made.module[6]):
            order = layer.weight.abs().reshape(-1).argsort()
            layer.weight.reshape(-1)[order[: int(part * len(order))]] = 0.0
    return made


@pytest.mark.slow
@pytest.mark.parametrize("ios", ["16", "18"])
def test_a_pruned_model_is_stored_without_its_zeros(tmp_path: Path, apple: Apple, ios: str) -> None:
    whole = bundle(pruned(0.75), apple(ios=ios), tmp_path / "whole")
    made = bundle(pruned(0.75), apple(ios=ios, weights={"scheme": "sparse"}), tmp_path / "made")
    assert made.manifest.precision_summary == {"sparse": 2, "float16": 1}
    assert size(whole) / size(made) > 2.4  # a quarter of the values, and a bit for each
    assert made.manifest.parity["max_abs"] == whole.manifest.parity["max_abs"], "nothing is lost"


def test_a_dense_model_is_not_called_sparse(tmp_path: Path, apple: Apple) -> None:
    with pytest.raises(ExportError, match=r"no weight could be stored as sparse weights: none has 30% zeros"):
        export(source(), apple(weights={"scheme": "sparse"}), tmp_path)


@pytest.mark.parametrize(
    ("ios", "weights", "message"),
    [
        ("15", {"scheme": "linear"}, r"weights of 8 bits needs iOS 16 or later, but target .* is for iOS 15"),
        ("16", {"scheme": "linear", "bits": 4}, r"weights of 4 bits needs iOS 18 or later"),
        ("17", {"scheme": "palettize", "bits": 3, "granularity": "per_tensor"}, r"palettes of 3 bits needs iOS 18"),
        ("17", {"scheme": "palettize", "bits": 4, "granularity": "per_group"}, r"groups of channels needs iOS 18"),
        ("17", {"scheme": "linear", "granularity": "per_group"}, r"scales for groups of 32 needs iOS 18"),
    ],
)
def test_what_the_system_lacks_is_refused_with_the_one_that_has_it(
    tmp_path: Path, apple: Apple, ios: str, weights: dict[str, Any], message: str
) -> None:
    stages: list[str] = []
    with pytest.raises(ExportError, match=message):
        export(source(), apple(ios=ios, weights=weights), tmp_path, on_progress=stages.append)
    assert stages == [], "before anything is converted"


INT8 = {"scheme": "static", "activation": "int8", "symmetric": True}


def test_weights_and_activations_in_int8(tmp_path: Path, apple: Apple) -> None:
    made = bundle(source(), apple("int8", ios="17", quantization=INT8), tmp_path)
    assert made.manifest.precision_summary == {"int8": 3}
    assert 20 < made.manifest.parity["sqnr_db"] < 60
    with pytest.raises(ExportError, match="INT8 activations needs iOS 17 or later"):
        export(source(), apple("int8", ios="16", quantization=INT8), tmp_path)
    with pytest.raises(ExportError, match="Core ML has no dynamic INT8"):
        export(source(), apple("int8", ios="17", quantization={"scheme": "dynamic"}), tmp_path)
    with pytest.raises(ExportError, match="int8, which needs calibration data"):
        export(source(calibration=None), apple("int8", ios="17", quantization=INT8), tmp_path)


@pytest.mark.slow
def test_float16_in_and_out(tmp_path: Path, apple: Apple) -> None:
    made = bundle(source(), apple(coreml={"io": "float16"}), tmp_path)
    assert {each.dtype for each in (*made.manifest.inputs, *made.manifest.outputs)} == {"float16"}
    assert made.manifest.parity["sqnr_db"] > 45
    with pytest.raises(ExportError, match=r"exchanging float16 with the model .* needs iOS 16"):
        export(source(), apple(ios="15", coreml={"io": "float16"}), tmp_path)


def photo() -> torch.Tensor:
    """Values of an image with scale 1/127.5 and bias -1: pixels of 0 to 255."""
    return torch.arange(192).reshape(1, 3, 8, 8).float() / 127.5 - 1


@pytest.mark.parametrize("colour", ["RGB", pytest.param("BGR", marks=pytest.mark.slow)])
def test_an_image_as_input(tmp_path: Path, apple: Apple, colour: str) -> None:
    images = {"input": {"colour": colour, "scale": 1 / 127.5, "bias": [-1.0, -1.0, -1.0]}}
    made = bundle(source(example_inputs=photo(), checks=None), apple(coreml={"images": images}), tmp_path)
    (entry,) = made.manifest.inputs
    assert (entry.dtype, entry.shape) == ("uint8", (8, 8, 3))
    pixels = np.load(made.file(entry.golden))
    planes = pixels.transpose(2, 0, 1) if colour == "RGB" else pixels.transpose(2, 0, 1)[::-1]
    assert planes.reshape(-1).tolist() == list(range(192))
    assert made.manifest.parity["sqnr_db"] > 45
    assert spec(made).description.input[0].type.WhichOneof("Type") == "imageType"


def test_an_image_that_can_not_be_one(tmp_path: Path, apple: Apple) -> None:
    def target(**image: Any) -> TargetProfile:
        return apple(coreml={"images": {"input": image}})

    with pytest.raises(ExportError, match="its pixels would go from -6 to 0; correct them"):
        export(source(example_inputs=photo() - 5), target(), tmp_path)
    with pytest.raises(ExportError, match=r"can't be a GRAYSCALE image: it is torch\.float32 of shape"):
        export(source(), target(colour="GRAYSCALE"), tmp_path)
    with pytest.raises(ExportError, match="names 'inptu', no input of the model; did you mean 'input'"):
        export(source(), apple(coreml={"images": {"inptu": {}}}), tmp_path)


def test_a_classifier_with_labels_and_words_for_its_users(tmp_path: Path, apple: Apple) -> None:
    labels = [f"class {i}" for i in range(32)]
    words = {"author": "me", "description": "small", "version": "3", "com.example.key": "value"}
    made = bundle(source(class_labels=labels, metadata=words, weights_licence="CC0-1.0"), apple(), tmp_path)
    found = spec(made).description
    assert found.predictedFeatureName == "classLabel"
    assert (found.metadata.author, found.metadata.license, found.metadata.versionString) == ("me", "CC0-1.0", "3")
    assert found.metadata.userDefined["com.example.key"] == "value"
    assert made.manifest.parity["sqnr_db"] > 45
    (output,) = made.manifest.outputs
    assert (output.name, output.shape) == (found.predictedProbabilitiesName, (32,))
    (described,) = PackageSession(made.path / made.manifest.artifact).outputs
    assert described.labels == tuple(labels)
    with pytest.raises(ExportError, match=r"3 class labels need one output of 3 numbers .* gives output \[1, 32\]"):
        export(source(class_labels=["a", "b", "c"]), apple(), tmp_path)


class Sizes(nn.Module):
    """Takes images and sequences of any size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).mean((2, 3))


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param({"enumerated": [[1, 3, 8, 8], [1, 3, 16, 16], [1, 3, 12, 20]]}, marks=pytest.mark.slow),
        {"min": [1, 3, 8, 8], "opt": [1, 3, 8, 8], "max": [1, 3, 32, 24]},
    ],
)
def test_shapes_that_vary_within_bounds(tmp_path: Path, apple: Apple, shape: dict[str, Any]) -> None:
    made = bundle(ModelSource(Sizes(), torch.rand(1, 3, 8, 8)), apple(shapes={"x": shape}), tmp_path)
    assert made.manifest.inputs[0].shape == (1, 3, "x_axis2", "x_axis3")
    assert made.manifest.parity["corner_shapes_sqnr_db"] > 45
    flexible = spec(made).description.input[0].type.multiArrayType.WhichOneof("ShapeFlexibility")
    assert flexible == ("enumeratedShapes" if "enumerated" in shape else "shapeRange")


def test_a_size_without_bounds_is_refused(tmp_path: Path, apple: Apple) -> None:
    open_ended = {"x": {2: torch.export.Dim("height", min=8)}}
    with pytest.raises(ExportError, match="axis 2 of input 'x' may grow without bound, which Core ML does not allow"):
        export(ModelSource(Sizes(), torch.rand(1, 3, 8, 8), dynamic_shapes=open_ended), apple(), tmp_path)


@pytest.mark.slow
def test_bounds_of_the_sources_own(tmp_path: Path, apple: Apple) -> None:
    bounded = {"x": {2: torch.export.Dim("height", min=8, max=64)}}
    made = bundle(ModelSource(Sizes(), torch.rand(1, 3, 8, 8), dynamic_shapes=bounded), apple(), tmp_path)
    assert made.manifest.inputs[0].shape == (1, 3, "x_axis2", 8)


class Remembering(nn.Module):
    """A cache that is written on each call, and read."""

    def __init__(self, first: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("seen", torch.full((1, 4), first))
        self.mix = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.mul_(0.5).add_(x)
        return self.mix(self.seen)


def test_a_model_with_states(tmp_path: Path, apple: Apple) -> None:
    module = Remembering()
    made = bundle(ModelSource(module, torch.rand(1, 4)), apple(ios="18"), tmp_path)
    assert [each.name for each in spec(made).description.state] == ["seen"]
    assert made.manifest.parity["sequence_sqnr_db"] > 45
    assert torch.equal(module.seen, torch.zeros(1, 4)), "the user's module is as it was"
    with pytest.raises(ExportError, match=r"changes its own buffers \(seen\), .* needs iOS 18 or later"):
        export(ModelSource(module, torch.rand(1, 4)), apple(ios="17"), tmp_path)
    with pytest.raises(
        ExportError, match="buffer 'seen', so that Core ML keeps it as a state, and states begin with zeros"
    ):
        export(ModelSource(Remembering(1.0), torch.rand(1, 4)), apple(ios="18"), tmp_path)


class Noisy(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand_like(x)


def test_what_can_not_be_executed_here_is_not_checked_and_never_passed(tmp_path: Path, apple: Apple) -> None:
    made = bundle(ModelSource(Noisy(), torch.rand(1, 4)), apple(), tmp_path)
    assert (made.manifest.parity, made.manifest.accuracy) == ({}, {})
    assert (
        "it draws random numbers (random_uniform), so that no output can be checked" in made.manifest.parity_unchecked
    )
