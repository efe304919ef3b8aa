"""Static quantization: where quantizers stand, which ranges they have, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

import seatrial
from seatrial.compression.quantization.qat_settings import Qat
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.quantized_program import is_dynamic, is_quantized, quantizers
from seatrial.source import ModelSource, load_source
from seatrial_targets.errors import ModelError, UnknownNameError, UserError

Source = Callable[..., ModelSource]


def compressed(source: ModelSource, **settings: Any) -> Any:
    return seatrial.compress(source, [Quantize(**settings)])


def test_quantizers_stand_before_layers_and_additions_and_not_before_activations(source: Source) -> None:
    made = compressed(source())
    assert is_quantized(made.program)
    assert not is_dynamic(made.program)
    assert not is_quantized(load_program(source()))
    found = quantizers(made.program)
    weights = [each for each in found if each.kind == "weight"]
    assert [each.layer for each in weights] == ["conv1", "conv2", "head"]
    assert [len(each.scale) for each in weights] == [16, 16, 5]
    activations = [each for each in found if each.kind == "activation"]
    # The image, relu (read by conv2 and by the addition), conv2 with its norm, the sum's relu, the mean.
    assert len(activations) == 5
    nodes = {node.name: node for node in made.program.graph.nodes}
    assert str(nodes[activations[1].tensor].target) == "aten.relu.default"
    assert all(each.dtype == "int8" and each.levels == (-127, 127) and set(each.zero_point) == {0} for each in found)


def load_program(source: ModelSource) -> Any:
    return torch.export.export(source.module.eval(), tuple(source.inputs.values()))


def test_scales_are_the_largest_values_over_127(source: Source) -> None:
    images = [torch.full((1, 3, 8, 8), value) for value in (0.5, -2.54, 1.0)]
    given = source(calibration=images)
    found = {each.tensor: each for each in quantizers(compressed(given).program)}
    assert found["image"].scale == pytest.approx((0.02,))
    expected = given.module.head.weight.abs().amax(1) / 127
    assert found["head.weight"].scale == pytest.approx(expected.tolist())


def test_weights_are_stored_once_as_integers_under_their_own_names(source: Source, tmp_path: Path) -> None:
    made = seatrial.compress(source(), [Quantize()], tmp_path / "small.pt2")
    state = made.program.state_dict
    assert {name: str(value.dtype) for name, value in state.items() if name.endswith(".weight")} == {
        "conv1.weight": "torch.int8",
        "conv2.weight": "torch.int8",
        "head.weight": "torch.int8",
    }
    step = made.record.steps[0]
    assert step.after.size_bytes == sum(each.numel() * each.element_size() for each in state.values())
    assert step.after.parameters == 3 * 16 * 9 + 16 * 16 * 9 + 16 * 5 + 16 + 16 + 5
    loaded = load_source(str(tmp_path / "small.pt2"))
    assert loaded.program is not None
    assert quantizers(loaded.program) == quantizers(made.program)


def test_the_outputs_stay_near(source: Source) -> None:
    quality = compressed(source()).record.steps[0].after.quality
    assert quality["sqnr_db"] > 35
    assert quality["top1_agreement"] == 1.0


@pytest.mark.parametrize("observer", ["minmax", "percentile", "entropy", "mse"])
def test_every_observer_gives_a_model_that_works(source: Source, observer: Any) -> None:
    assert compressed(source(), observer=observer).record.steps[0].after.quality["sqnr_db"] > 15


def test_layers_that_are_kept_have_no_quantizer(source: Source) -> None:
    found = quantizers(compressed(source(), keep_float=("conv1",)).program)
    assert [each.layer for each in found if each.kind == "weight"] == ["conv2", "head"]
    assert "image" not in [each.tensor for each in found]


@pytest.mark.parametrize("step", [Quantize(keep_half=("conv2", "head")), Qat(steps=2, keep_half=("conv2", "head"))])
def test_layers_in_float16_arrive_so_in_the_file(source: Source, tmp_path: Path, step: Any) -> None:
    given = source(train=[(torch.cat([source().inputs["image"]] * 2), torch.tensor([0, 1]))])
    made = seatrial.compress(given, [step], tmp_path / "small.pt2", targets=["arm64-cpu-int8"])
    assert [each.layer for each in quantizers(made.program) if each.kind == "weight"] == ["conv1"]
    state = made.program.state_dict
    assert {name for name, value in state.items() if value.dtype == torch.float16} == {
        "conv2.weight", "conv2.bias", "head.weight", "head.bias",
    }  # fmt: skip
    without = seatrial.compress(given, [step.model_copy(update={"keep_half": ()})], targets=["arm64-cpu-int8"])
    counts = [each.record.steps[-1].after.parameters for each in (made, without)]
    assert counts[0] == counts[1]  # weights in float16 are parameters as well
    loaded = load_source(str(tmp_path / "small.pt2")).with_data_of(given)
    bundle = seatrial.export(loaded, "arm64-cpu-int8", tmp_path)
    graph = onnx.load(bundle.path / "model.onnx").graph
    halves = {each.name for each in graph.initializer if each.data_type == onnx.TensorProto.FLOAT16}
    assert {name for node in graph.node if node.op_type in ("Conv", "Gemm") for name in node.input[1:]} >= halves
    assert len(halves) == 4
    parity = bundle.manifest.parity["sqnr_db"]
    assert parity is not None
    assert parity > 30


@pytest.mark.parametrize("target", ["jetson-orin-nano-int8", "iphone-a18-int8"])
def test_layers_in_float16_for_other_runtimes(source: Source, tmp_path: Path, target: str) -> None:
    seatrial.compress(source(), [Quantize(keep_half=("conv2", "head"))], tmp_path / "small.pt2", targets=[target])
    loaded = load_source(str(tmp_path / "small.pt2")).with_data_of(source())
    manifest = seatrial.export(loaded, target, tmp_path).manifest
    assert manifest.precision_summary == {"int8": 1, "float16": 2}
    assert manifest.parity["sqnr_db"] > 30


@pytest.mark.parametrize("target", ["arm64-cpu-int8", "jetson-orin-nano-int8", "iphone-a18-int8"])
def test_the_limits_of_an_activation_in_float16(source: Source, tmp_path: Path, target: str) -> None:
    torch.manual_seed(0)
    layers = (torch.nn.Conv2d(3, 16, 3), torch.nn.ReLU6(), torch.nn.Conv2d(16, 16, 1), torch.nn.ReLU6())
    given = source(module=torch.nn.Sequential(*layers).eval())
    seatrial.compress(given, [Quantize(keep_half=("0",))], tmp_path / "small.pt2", targets=[target])
    loaded = load_source(str(tmp_path / "small.pt2")).with_data_of(given)
    manifest = seatrial.export(loaded, target, tmp_path).manifest
    assert manifest.precision_summary == {"int8": 1, "float16": 1}
    assert manifest.parity["sqnr_db"] > 30


def test_float16_where_it_can_not_be_is_said(source: Source) -> None:
    with pytest.raises(UserError, match=r"unknown layer 'haed'.*did you mean 'head'"):
        seatrial.compress(source(), [Quantize(keep_half=("haed",))])
    given = source()
    with torch.no_grad():
        given.module.head.weight[0, 0] = 1e6
    with pytest.raises(UserError, match=r"keep_half: head\.weight has values that float16 does not hold"):
        seatrial.compress(given, [Quantize(keep_half=("head",))])


def test_a_layer_is_kept_in_one_precision(source: Source) -> None:
    with pytest.raises(UserError, match="keep_float and keep_half both name conv2"):
        seatrial.compress(source(), [Quantize(keep_float=("conv*",), keep_half=("conv2",))])


@pytest.mark.parametrize(("target", "said"), [("x86-64-cpu-int8", True), ("arm64-cpu-int8", False)])
def test_float16_that_makes_slower_is_said(source: Source, target: str, said: bool) -> None:
    notes = seatrial.compress(source(), [Quantize(keep_half=("conv2",))], targets=[target]).record.steps[-1].notes
    assert any("between casts, which is slower" in note for note in notes) == said


def test_one_scale_per_tensor(source: Source) -> None:
    found = quantizers(compressed(source(), weights="per_tensor").program)
    assert {len(each.scale) for each in found} == {1}


def test_asymmetric_activations_use_all_levels(source: Source) -> None:
    images = [torch.rand(1, 3, 8, 8) * 2 - 0.5 for _ in range(4)]
    given = source(calibration=images)
    found = {each.tensor: each for each in quantizers(compressed(given, activations="asymmetric").program)}
    image = found["image"]
    assert (image.dtype, image.levels) == ("uint8", (0, 255))
    assert image.scale[0] == pytest.approx(2 / 255, rel=0.02)
    assert image.zero_point[0] == pytest.approx(0.5 / image.scale[0], abs=2)
    relus = [each for name, each in found.items() if "relu" in name]
    assert [each.zero_point for each in relus] == [(0,), (0,)]


def test_targets_decide_what_auto_means(source: Source) -> None:
    made = seatrial.compress(source(), [Quantize()], targets=["x86-64-cpu-int8"])
    assert {each.dtype for each in quantizers(made.program) if each.kind == "activation"} == {"uint8"}
    made = seatrial.compress(source(), [Quantize()], targets=["x86-64-cpu-int8", "jetson-orin-nano-int8"])
    assert {each.dtype for each in quantizers(made.program) if each.kind == "activation"} == {"int8"}


def test_a_runtime_that_can_not_carry_it_is_said_with_one_that_can(source: Source) -> None:
    with pytest.raises(
        UserError, match=r"'jetson-orin-nano-int8' can't carry it: tensorrt takes no uint8.*onnxruntime"
    ):
        seatrial.compress(source(), [Quantize(activations="asymmetric")], targets=["jetson-orin-nano-int8"])
    for scheme in ("static", "dynamic"):
        with pytest.raises(UserError, match=r"'x86-64-cpu-fp16' can't carry it: .*name 'x86-64-cpu-int8'"):
            seatrial.compress(source(), [Quantize(scheme=scheme)], targets=["x86-64-cpu-fp16"])  # type: ignore[arg-type]


def test_values_that_never_change_are_named(source: Source) -> None:
    zeros = [torch.zeros(1, 3, 8, 8)] * 2
    (step,) = seatrial.compress(source(calibration=zeros), [Quantize(bias_correction=False)]).record.steps
    assert step.notes[1] == "constant on all calibration samples: image; what differs from that will be cut off"


def test_the_same_seed_gives_the_same_bytes(source: Source, tmp_path: Path) -> None:
    for name in ("a", "b"):
        seatrial.compress(source(), [Quantize()], tmp_path / f"{name}.pt2")
    first, second = (load_source(str(tmp_path / f"{name}.pt2")) for name in ("a", "b"))
    assert first.digest == second.digest


class Concatenated(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(3, 4, 1)
        self.up = torch.nn.ConvTranspose2d(8, 6, 2, stride=2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.up(torch.cat([self.left(image), torch.relu(self.right(image))], 1))


def test_what_is_concatenated_has_one_scale(source: Source) -> None:
    found = quantizers(compressed(source(module=Concatenated().eval())).program)
    scales = [each.scale for each in found if each.kind == "activation" and each.tensor != "image"]
    assert len(scales) == 3
    assert len(set(scales)) == 1


def test_transposed_convolutions_have_their_channels_along_axis_1(source: Source) -> None:
    found = {each.layer: each for each in quantizers(compressed(source(module=Concatenated().eval())).program)}
    assert (found["up"].axis, len(found["up"].scale)) == (1, 6)
    assert (found["left"].axis, len(found["left"].scale)) == (0, 4)


def test_dead_activations_and_constant_ones_have_a_scale(source: Source) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 1)).eval()
    torch.nn.init.constant_(net[0].bias, -100.0)
    made = compressed(source(module=net))
    assert all(scale > 0 for each in quantizers(made.program) for scale in each.scale)
    assert made.record.steps[0].after.quality["sqnr_db"] > 40


class Rooted(torch.nn.Module):
    """Answers NaN in the middle for negative inputs, and hides it at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.nan_to_num(self.conv(image.sqrt()))


def test_nan_activations_are_named(source: Source) -> None:
    images = [torch.rand(1, 3, 8, 8) for _ in range(2)]
    given = source(
        module=Rooted().eval(), example_inputs=images[0], checks=images, calibration=[-torch.ones(1, 3, 8, 8)]
    )
    with pytest.raises(ModelError, match=r"test_ptq.py:\d+ in forward.*holds NaN or infinity on the calibration data"):
        compressed(given)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"calibration": None}, r"steps\[0\] quantize: needs `calibration` of the model source"),
        ({"calibration": []}, "calibration is empty"),
        ({"calibration": [torch.zeros(1, 3, 9, 8)]}, r"calibration\[0\]: 'image' has shape \[1, 3, 9, 8\]"),
        ({"calibration": [torch.zeros(1, 3, 8, 8).double()]}, r"calibration\[0\]: 'image' is float64"),
        ({"calibration": [torch.full((1, 3, 8, 8), float("nan"))]}, r"calibration\[0\]: 'image' holds NaN"),
    ],
)
def test_bad_calibration_data(source: Source, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        compressed(source(**fields))


def test_a_layer_that_is_not_there(source: Source) -> None:
    with pytest.raises(UnknownNameError, match=r"steps\[0\] quantize: unknown layer 'conv3'; did you mean 'conv"):
        compressed(source(), keep_float=("conv3",))


def test_a_recipe_that_quantizes_nothing(source: Source) -> None:
    with pytest.raises(UserError, match="nothing would be quantized"):
        compressed(source(), keep_float=("conv*", "head"))


def test_quantizing_twice(source: Source, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"steps\[1\] quantize: works on a float or captured model.*a model is quantized once"
    ):
        seatrial.compress(source(), [Quantize(), Quantize()])
    seatrial.compress(source(), [Quantize()], tmp_path / "small.pt2")
    with pytest.raises(
        UserError, match=r"steps\[0\] quantize: works on a float or captured model, and the model source gives a qu"
    ):
        seatrial.compress(str(tmp_path / "small.pt2"), [Quantize()])


def test_a_model_that_can_not_be_captured_is_named_in_the_users_code(
    model_file: Callable[[str], Path],
) -> None:
    path = model_file("""
class Branch(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return self.fc(x) if x.sum() > 0 else x

def build(): return {"module": Branch(), "example_inputs": X, "calibration": [X]}
""")
    with pytest.raises(seatrial.SeatrialError, match=r"user_model.py:13 in forward: torch.export can't capture"):
        seatrial.compress(f"{path}:build", [Quantize()])
