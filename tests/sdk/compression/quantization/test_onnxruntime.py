"""From a quantized .pt2 to ONNX Runtime: integers on the CPU, the same numbers, an honest parity."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import seatrial
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.quantized_program import quantizers
from seatrial.exporters.capture import to_onnx
from seatrial.exporters.host import HostSession
from seatrial.exporters.integer_onnx import for_onnxruntime
from seatrial.source import ModelSource
from seatrial_runner.bundle import Bundle
from seatrial_targets.errors import ExportError, ModelError

Source = Callable[..., ModelSource]


class Mobile(torch.nn.Module):
    """What makes INT8 hard: ReLU6, an explicit asymmetric pad before a depthwise convolution, a residual."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = torch.nn.Conv2d(3, 16, 1)
        self.depthwise = torch.nn.Conv2d(16, 16, 3, stride=2, groups=16)
        self.project = torch.nn.Conv2d(16, 16, 1)
        self.again = torch.nn.Conv2d(16, 16, 3, padding=1)
        self.head = torch.nn.Linear(16, 5)
        torch.nn.init.uniform_(self.stem.weight, -3, 3)  # so that some values reach 6

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        relu6 = torch.nn.functional.relu6
        x = relu6(self.stem(image))
        x = relu6(self.depthwise(torch.nn.functional.pad(x, (0, 1, 0, 1))))
        x = self.project(x)
        x = x + relu6(self.again(x))
        return self.head(x.mean((2, 3)))


def exported(made: Any, folder: Path, target: str = "x86-64-cpu-int8", **extra: Any) -> tuple[Bundle, Any]:
    bundle = seatrial.export(made, target, folder, **extra)
    return bundle, onnx.load(bundle.file("model.onnx"))


def optimized(model: Any, folder: Path) -> Counter[str]:
    path = folder / "optimized.onnx"
    HostSession(model.SerializeToString(), save_as=path)
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("activations", ["symmetric", "asymmetric"])
def test_every_layer_runs_in_integers_and_answers_what_the_module_does(
    source: Source, tmp_path: Path, activations: Any
) -> None:
    made = seatrial.compress(
        source(module=Mobile().eval()), [Quantize(activations=activations)], tmp_path / "small.pt2"
    )
    bundle, model = exported(str(tmp_path / "small.pt2"), tmp_path)
    found = optimized(model, tmp_path)
    assert (found["QLinearConv"], found["QGemm"], found["QLinearAdd"]) == (4, 1, 1)
    assert found["Pad"] == found["Conv"] == found["Clip"] == 0
    assert bundle.manifest.precision_summary == {"int8": 5}
    assert bundle.manifest.recipe_digest == made.record.recipe_digest
    assert not [note for note in bundle.manifest.notes if "float32" in note]
    assert any("not against the one that it was made from" in note for note in bundle.manifest.notes)
    session = HostSession(model.SerializeToString(), optimization="none")
    image = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(7))
    (answer,) = session.run({"image": image.numpy()}).values()
    expected = made.source.call({"image": image}).numpy()
    # The u8 form gives ReLUs 255 steps where int8 has 127; asymmetric ones are the same numbers.
    assert np.abs(answer - expected).max() < (5e-2 if activations == "symmetric" else 1e-4) * np.abs(expected).max()


def test_parity_is_held_against_the_original(source: Source, tmp_path: Path) -> None:
    made = seatrial.compress(source(), [Quantize()], tmp_path / "small.pt2")
    beside, _ = exported(str(tmp_path / "small.pt2"), tmp_path / "b", data=source())
    assert not any("not against" in note for note in beside.manifest.notes)
    assert beside.manifest.parity["samples"] == 8
    assert beside.manifest.parity["sqnr_db"] == pytest.approx(made.record.steps[0].after.quality["sqnr_db"], abs=4)


def test_data_of_another_model_is_refused(source: Source, tmp_path: Path) -> None:
    seatrial.compress(source(), [Quantize()], tmp_path / "small.pt2")
    other = ModelSource(torch.nn.Linear(4, 4), torch.ones(1, 4))
    with pytest.raises(ModelError, match="the model takes image, the one that its data comes from input"):
        seatrial.export(str(tmp_path / "small.pt2"), "x86-64-cpu-int8", tmp_path, data=other)


def test_a_quantized_model_goes_to_int8_targets_alone(source: Source, tmp_path: Path) -> None:
    made = seatrial.compress(source(), [Quantize()])
    with pytest.raises(ExportError, match="the model is quantized, and target 'x86-64-cpu-fp16' is fp"):
        exported(made.source, tmp_path, "x86-64-cpu-fp16")


def test_learned_scales_arrive_to_the_bit(source: Source, tmp_path: Path) -> None:
    made = seatrial.compress(source(), [Quantize()])
    wanted = {np.float32(scale) for each in quantizers(made.program) for scale in each.scale}
    _, kept = exported(dataclasses.replace(made.source, learned_scales=True), tmp_path)
    assert scales(kept) == wanted
    assert scales(for_onnxruntime(to_onnx(made.program, ["image"], 20), unsigned=True, rescale=True)) != wanted


def scales(model: Any) -> set[Any]:
    """The scales that layers read; those of biases are products of them."""
    constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    layers = [node for node in model.graph.node if node.op_type == "DequantizeLinear" and "int32" not in node.input[0]]
    return {np.float32(scale) for node in layers for scale in np.ravel(constants[node.input[1]])}


def small_graph(pad_value: float = 0.0, pads: tuple[int, ...] = (0, 0, 0, 0, 0, 0, 1, 1)) -> Any:
    """Pad -> Q -> DQ -> Conv, by hand."""
    make = onnx.helper
    constants = {
        "pads": np.array(pads, np.int64),
        "value": np.array(pad_value, np.float32),
        "scale": np.array(0.1, np.float32),
        "zero": np.array(0, np.int8),
        "w": np.ones((1, 1, 2, 2), np.int8),
        "w_scale": np.array([0.5], np.float32),
        "w_zero": np.zeros(1, np.int8),
        "bias": np.array([3.0], np.float32),
    }
    nodes = [
        make.make_node("Pad", ["x", "pads", "value"], ["p"]),
        make.make_node("QuantizeLinear", ["p", "scale", "zero"], ["q"]),
        make.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        make.make_node("DequantizeLinear", ["w", "w_scale", "w_zero"], ["wd"], axis=0),
        make.make_node("Conv", ["d", "wd", "bias"], ["y"]),
    ]
    graph = make.make_graph(
        nodes,
        "g",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 1, 3, 3])],
        [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(
    ("changes", "folded"),
    [({}, True), ({"pad_value": 1.0}, False), ({"pads": (0, 1, 0, 0, 0, 0, 1, 1)}, False)],
)
def test_a_pad_is_folded_only_where_that_changes_nothing(changes: dict[str, Any], folded: bool) -> None:
    model = small_graph(**changes)
    if changes.get("pads"):  # another channel: the convolution takes two
        model.graph.initializer[4].CopyFrom(numpy_helper.from_array(np.ones((1, 2, 2, 2), np.int8), "w"))
    made = for_onnxruntime(model, unsigned=True, rescale=True)
    assert ("Pad" not in [node.op_type for node in made.graph.node]) is folded
    x = {"x": np.linspace(-2, 2, 9, dtype=np.float32).reshape(1, 1, 3, 3)}
    before, after = (HostSession(m.SerializeToString(), optimization="none").run(x)["y"] for m in (model, made))
    assert np.allclose(before, after, atol=1e-5)


def test_a_bias_becomes_int32_in_steps_of_both_scales() -> None:
    made = for_onnxruntime(small_graph(), unsigned=True, rescale=True)
    constants = {each.name: numpy_helper.to_array(each) for each in made.graph.initializer}
    (bias,) = [value for name, value in constants.items() if name.endswith("_int32")]
    assert bias.dtype == np.int32
    assert bias.tolist() == [60]  # 3.0 / (0.1 * 0.5)


def test_the_model_that_was_given_is_left_as_it_is() -> None:
    model = small_graph()
    before = model.SerializeToString()
    for_onnxruntime(model, unsigned=True, rescale=True)
    assert model.SerializeToString() == before
