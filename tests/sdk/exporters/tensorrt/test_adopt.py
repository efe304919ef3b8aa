"""Models that were quantized before: their scales and integers come through unchanged, or are refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto as T
from onnx import helper

from sdk.verify.small_models import conv, model, pair, residual, value, weight
from seatrial.compression.quantized_program import quantizers, register
from seatrial.exporters import export
from seatrial.exporters.tensorrt.adopt import adopt
from seatrial.exporters.tensorrt.precision import with_precision
from seatrial.source import load_source
from seatrial.verify.onnx_graph import Graph
from seatrial_targets.errors import ExportError

from .conftest import opened
from .models import Residual, constant, source, target

REGISTERED = register()
QD = torch.ops.quantized_decomposed


class Quantized(torch.nn.Module):
    """A residual block as a quantized program has it: y = relu(conv(x) + x), then a linear layer over the last axis."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv = self._layer((8, 8, 3, 3), generator)
        self.linear = self._layer((4, 8), generator)

    def _layer(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.nn.Module:
        made = torch.nn.Module()
        made.register_buffer("weight", torch.randint(-127, 128, shape, generator=generator, dtype=torch.int8))
        made.register_buffer("weight_scale", torch.linspace(0.001, 0.002, shape[0]))
        made.register_buffer("weight_zero_point", torch.zeros(shape[0], dtype=torch.int64))
        return made

    def _weight(self, layer: Any) -> torch.Tensor:
        return QD.dequantize_per_channel(
            layer.weight, layer.weight_scale, layer.weight_zero_point, 0, -127, 127, torch.int8
        )

    def _rounded(self, x: torch.Tensor, scale: float) -> torch.Tensor:
        q = QD.quantize_per_tensor(x, scale, 0, -127, 127, torch.int8)
        return QD.dequantize_per_tensor(q, scale, 0, -127, 127, torch.int8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.nn.functional.conv2d(self._rounded(x, 0.02), self._weight(self.conv), torch.ones(8), padding=1)
        y = torch.relu(self._rounded(y, 0.03) + self._rounded(x, 0.02))
        return torch.nn.functional.linear(self._rounded(y.permute(0, 2, 3, 1), 0.05), self._weight(self.linear))


def saved(tmp_path: Path, module: torch.nn.Module) -> str:
    x = torch.randn(1, 8, 6, 6, generator=torch.Generator().manual_seed(1))
    torch.export.save(torch.export.export(module.eval(), (x,)), tmp_path / "net.pt2")
    return str(tmp_path / "net.pt2")


def test_scales_and_integers_of_a_quantized_program_come_through_unchanged(tmp_path: Path) -> None:
    program = load_source(saved(tmp_path, Quantized())).program
    assert program is not None
    given = quantizers(program)
    made = load_source(str(tmp_path / "net.pt2"))
    bundle, onnx_model, build = opened(export(made, target("jetson-thor-int8"), tmp_path))
    graph = Graph.of(onnx_model)
    for each in (q for q in given if q.kind == "weight"):
        readers = [n for n in graph.nodes if n.name.startswith(f"{each.layer}/")]
        quantizer = graph.dequantizer(readers[0].input[1])
        assert quantizer is not None
        assert np.allclose(graph.array(quantizer.input[1]), each.scale)
        stored, integers = graph.array(quantizer.input[0]), getattr(Quantized(), each.layer).weight.numpy()
        assert np.array_equal(stored, integers if stored.shape == integers.shape else integers.T)
    found = {n.name: float(graph.array(n.input[1])) for n in graph.nodes if n.op_type == "QuantizeLinear"}
    assert sorted(found.values()) == pytest.approx(
        sorted({q.scale[0] for q in given if q.kind == "activation"} - {0.03})
    )
    assert bundle.manifest.precision_summary == {"int8": 2}
    assert build.calibration is not None
    assert build.calibration.method == "from-model"
    assert any(
        note.startswith("1 residual additions read their convolution unrounded") for note in bundle.manifest.notes
    )
    assert bundle.manifest.parity["sqnr_db"] > 30
    assert len(json.loads(bundle.file("layers.json").read_bytes())["layers"]) == 2


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: conv({"zero": np.uint8(128)}), "quantized to uint8"),
        (
            lambda: conv({"zero": np.int8(3)}),
            "quantized with a zero point .*; TensorRT takes 0 alone: quantize it again",
        ),
        (lambda: conv(bias="int32"), "quantized to int32"),
        (
            lambda: conv({"scale": np.full(16, 0.02, np.float32), "zero": np.zeros(16, np.int8)}),
            "an activation per channel",
        ),
    ],
)
def test_quantizers_that_tensorrt_has_not_are_refused(made: Any, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        adopt(made())


def test_a_quantized_model_is_not_for_a_target_without_int8() -> None:
    wanted = target("jetson-thor-fp16")
    with pytest.raises(ExportError, match="the model is quantized, and target 'jetson-thor-fp16' is fp16: choose an"):
        with_precision(conv(), [], [], (), wanted, lambda _: None)


@pytest.mark.parametrize("stored", ["int8", "float"])
def test_both_ways_to_store_a_weight_are_read(stored: str) -> None:
    made = conv(weights={"stored": stored})
    found = adopt(made)
    assert found.placement.edges == {("conv", 0): "x"}
    assert found.placement.weights == {"conv": 0}
    assert found.scales == {"x": np.float32(0.02)}
    (weight_,) = found.weights.values()
    expected = np.random.default_rng(0).integers(-127, 127, (8, 16, 3, 3)).astype(np.int8)
    assert np.array_equal(weight_.integers, expected)
    assert [node.op_type for node in found.model.graph.node] == ["Conv"]


def test_only_the_convolutions_branch_is_freed() -> None:
    found = adopt(residual(main_quantized=True))
    assert found.freed == 1
    assert ("add", 0) not in found.placement.edges
    assert found.placement.edges["add", 1] == "x"
    assert adopt(residual(main_quantized=False)).freed == 0


def test_one_tensor_with_two_scales_keeps_both_and_a_rounded_output_its_name() -> None:
    nodes, constants = pair("a", "x")
    more, others = pair("b", "x", np.float32(0.5))
    weights, third = weight("w", (16, 16, 1, 1))
    nodes += [*more, *weights, helper.make_node("Conv", ["a_d", "w_d"], ["c"], name="conv")]
    last, fourth = pair("out", "s")
    nodes += [helper.make_node("Add", ["c", "b_d"], ["s"], name="add"), *last]
    ends = [value("x", T.FLOAT, [1, 16, 2, 2])], [value("out_d", T.FLOAT, [1, 16, 2, 2])]
    found = adopt(model(nodes, constants | others | third | fourth, *ends))
    assert sorted(map(float, found.scales.values())) == pytest.approx([0.02, 0.5])
    assert [each.name for each in found.model.graph.output] == ["out_d"]
    assert constant(found.model, "w_f").shape == (16, 16, 1, 1)


@pytest.mark.slow
def test_what_compress_quantizes_is_exported_with_the_float_model_as_reference(tmp_path: Path) -> None:
    pytest.importorskip("torchao", reason="needs the extra `compress`")
    import seatrial
    from seatrial.compression.quantization.settings import Quantize

    original = source(Residual())
    seatrial.compress(original, [Quantize(activations="symmetric")], tmp_path / "net.pt2")
    bundle = seatrial.export(str(tmp_path / "net.pt2"), "jetson-orin-nano-int8", tmp_path, data=original)
    assert bundle.manifest.precision_summary == {"int8": 5}
    assert 25 < bundle.manifest.parity["sqnr_db"] < 60, "against the float model, not against the quantized one"
    assert {each["name"] for each in json.loads(bundle.file("layers.json").read_bytes())["layers"]} == {
        "stem.0/Conv", "one.0/Conv", "two.0/Conv", "down.0/Conv", "head/Gemm",
    }  # fmt: skip
