"""Bundles for TensorRT: what is in the graph, and in the records beside it."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from seatrial.exporters import export
from seatrial.verify.onnx_graph import Graph
from seatrial.verify.tensorrt import Context, lint_model
from seatrial_targets.errors import ExportError

from .conftest import MADE, Opened, opened
from .models import Residual, constant, source, target

FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16
Made = Callable[[str], Opened]


@pytest.mark.parametrize(
    ("name", "form", "least_db"),
    [("fp32", "fp32", 110), ("fp16", "fp16", 55), ("int8", "qdq-fp16", 25), ("int8 for 10", "qdq-fp16", 25)],
)
def test_every_precision_is_near_torch_and_without_findings(
    bundle_of: Made, name: str, form: str, least_db: int
) -> None:
    bundle, model, build = bundle_of(name)
    assert bundle.manifest.parity["sqnr_db"] > least_db
    assert build.form == form
    assert build.onnx_sha256 == hashlib.sha256(bundle.file("model.onnx").read_bytes()).hexdigest()
    assert [each.version for each in model.opset_import] == [17]
    onnx.checker.check_model(model, full_check=True)
    context = Context.of(MADE[name]()[1])
    assert [f for f in lint_model(model, context) if f.severity != "hint"] == []
    assert {each.name for each in model.graph.input} == {"x"}
    ends = (*model.graph.input, *model.graph.output)
    assert {each.type.tensor_type.elem_type for each in ends} == {FLOAT}


def test_quantizers_stand_before_what_multiplies_and_at_the_residual_branch_only(bundle_of: Made) -> None:
    graph = Graph.of(bundle_of("int8 and fp32")[1])
    nodes = {node.name: node for node in graph.nodes}
    for name in ("stem.0/Conv", "one.0/Conv", "two.0/Conv", "down.0/Conv", "head/Gemm"):
        assert [graph.dequantizer(each) is not None for each in nodes[name].input] == [True, True, False], name
    adds = [node for node in graph.nodes if node.op_type == "Add"]
    assert [[graph.dequantizer(n) is not None for n in add.input] for add in adds] == [[False, True], [True, False]]
    assert [graph.maker(n).name for n in adds[1].input if graph.dequantizer(n) is None] == ["down.0/Conv"]
    assert graph.maker(adds[0].input[0]).name == "one.0/Conv"
    assert not [node for node in graph.nodes if node.op_type == "BatchNormalization"]


def test_a_scale_is_symmetric_per_channel_for_weights_and_shared_through_a_max_pool(bundle_of: Made) -> None:
    _, model, build = bundle_of("int8 and fp32")
    graph = Graph.of(model)
    scales = {}
    for node in (n for n in graph.nodes if n.op_type == "QuantizeLinear"):
        scales[node.input[0]] = constant(model, node.input[1])
        zero = constant(model, node.input[2])
        assert zero.dtype == np.int8
        assert not zero.any()
    weights = {name: scale for name, scale in scales.items() if scale.ndim}
    assert {name: len(scale) for name, scale in weights.items() if "two.0" in name} == {"two.0.weight_rounded": 16}
    pool = next(node for node in graph.nodes if node.op_type == "MaxPool")
    before, behind = graph.dequantizer(pool.input[0]), graph.readers[pool.output[0]]
    assert before is not None
    assert {constant(model, n.input[1]).item() for n in (before, *behind)} == {scales["relu"].item()}
    widest = max(float(np.abs(image.numpy()).max()) for image in source(Residual()).calibration)
    assert scales["x"] == np.float32(widest / 127)
    assert build.calibration is not None
    assert build.calibration.scales["x"] == scales["x"]
    assert (build.calibration.method, build.calibration.samples) == ("minmax", 8)


@pytest.mark.slow
def test_what_a_concat_joins_has_one_scale(bundle_of: Made) -> None:
    model = bundle_of("joined")[1]
    graph = Graph.of(model)
    concat = next(node for node in graph.nodes if node.op_type == "Concat")
    behind = next(node for node in graph.nodes if node.name == "last/Conv").input[0]
    pairs = [graph.dequantizer(name) for name in (*concat.input, behind)]
    assert None not in pairs
    assert len({constant(model, pair.input[1]).item() for pair in pairs if pair is not None}) == 1


def test_one_file_has_both_precisions_with_scales_in_float32_between_casts(bundle_of: Made) -> None:
    bundle, model, build = bundle_of("int8")
    graph = Graph.of(model)
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert graph.type_of(node.input[1]) == FLOAT
        if node.op_type in ("Conv", "Gemm", "Add", "Relu", "MaxPool"):
            assert {graph.type_of(name) for name in node.input} == {FLOAT16}
    assert bundle.manifest.precision_summary == {"int8": 5}
    assert build.trtexec_flags((8, 6, 2)) == ("--fp16", "--int8", "--noTF32")


def test_weights_are_integers_where_every_version_reads_them_and_rounded_floats_elsewhere(bundle_of: Made) -> None:
    old, old_model, old_build = bundle_of("int8")
    new, new_model, new_build = bundle_of("int8 for 10")
    assert (old_build.weights, new_build.weights) == ("float", "int8")
    integers, rounded = constant(new_model, "two.0.weight_q"), constant(old_model, "two.0.weight_rounded")
    scale = constant(old_model, "two.0.weight_scale")[:, None, None, None]
    assert np.array_equal(integers, np.rint(rounded / scale))
    assert np.abs(integers).max() == 127
    golden = [np.load(each.file(each.manifest.outputs[0].golden)) for each in (old, new)]
    assert np.array_equal(*golden), "the arithmetic is the same"
    assert new.manifest.size_bytes < old.manifest.size_bytes


def test_layers_are_called_after_the_modules_and_each_has_its_noise(bundle_of: Made) -> None:
    counted = Counter(node.name.rpartition("/")[0] for node in bundle_of("fp32")[1].graph.node)
    assert {"stem.0", "pool", "one.0", "two.0", "down.0", "head"} <= set(counted)
    layers = json.loads(bundle_of("int8")[0].file("layers.json").read_bytes())["layers"]
    assert [each["name"] for each in layers if each["op"] == "Conv"] == [
        "stem.0/Conv", "one.0/Conv", "two.0/Conv", "down.0/Conv",
    ]  # fmt: skip
    assert all(20 < each["own_db"] < 60 and each["gain_db"] is not None for each in layers)


@pytest.mark.slow
def test_a_dimension_that_varies_needs_its_range_in_the_target(tmp_path: Path) -> None:
    batch = {"x": {0: torch.export.Dim("n", min=1, max=8)}}
    with pytest.raises(ExportError, match=r"dynamic-shape: .* state min, opt and max under `shapes` of the target"):
        export(source(Residual(), (2, 3, 16, 16), dynamic_shapes=batch), target("jetson-orin-nano-fp32"), tmp_path)


@pytest.mark.slow
def test_two_of_four_zeros_are_kept_and_said(tmp_path: Path) -> None:
    module = Residual()
    for conv in (module.one[0], module.two[0]):
        with torch.no_grad():
            conv.weight[:, 2::4] = 0
            conv.weight[:, 3::4] = 0
    bundle, model, build = opened(export(source(module), target("jetson-thor-int8"), tmp_path))
    assert any(note.startswith("2:4 sparsity: 2 of 2 pruned layers") for note in bundle.manifest.notes)
    assert build.sparsity
    assert "--sparsity=enable" in build.trtexec_flags((10, 13))
    assert not constant(model, "two.0.weight_q")[:, 2::4].any()


class Steep(torch.nn.Module):
    """Weights that float16 does not hold, and values that it holds again."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.up, self.head = torch.nn.Linear(4, 4), torch.nn.Linear(4, 2)
        with torch.no_grad():
            self.up.weight.mul_(1e6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.up(x) * 1e-6))


@pytest.mark.parametrize(
    "base", [pytest.param("jetson-orin-nano-fp16", marks=pytest.mark.slow), "jetson-orin-nano-int8"]
)
def test_layers_that_float16_does_not_hold_stay_in_float32(tmp_path: Path, base: str) -> None:
    bundle, model, build = opened(export(source(Steep(), (1, 4)), target(base), tmp_path))
    assert "up/Gemm" in build.float32_layers
    assert "head/Gemm" not in build.float32_layers
    assert "--layerPrecisions=up/Gemm:fp32,/Mul:fp32" in build.trtexec_flags((8, 6, 2))
    assert any(note.startswith("stay in float32, since float16 ends at 65504: ") for note in bundle.manifest.notes)
    assert bundle.manifest.parity["sqnr_db"] > 25
    graph = Graph.of(model)
    types = {node.name: graph.type_of(node.output[0]) for node in graph.nodes}
    assert (types["up/Gemm"], types["head/Gemm"]) == (FLOAT, FLOAT16)


class Words(torch.nn.Module):
    """Integers in, and an integer out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.head = torch.nn.Embedding(16, 8), torch.nn.Linear(8, 4)

    def forward(self, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = self.head(self.words(words).mean(1))
        return scores, scores.argmax(-1)


@pytest.mark.slow
def test_integers_are_int32_for_tensorrt_8_and_as_they_are_for_10(tmp_path: Path) -> None:
    made = source(Words(), calibration=None, checks=None, example_inputs=torch.tensor([[1, 2, 3, 15]]))
    old, _, _ = opened(export(made, target("jetson-orin-nano-fp32"), tmp_path))
    new, _, _ = opened(export(made, target("jetson-thor-fp32"), tmp_path))
    for bundle, dtype in ((old, "int32"), (new, "int64")):
        assert [bundle.manifest.inputs[0].dtype, bundle.manifest.outputs[1].dtype] == [dtype, dtype]
        assert np.load(bundle.file("golden/input_0.npy")).dtype == dtype
        assert bundle.manifest.parity["sqnr_db"] > 100


class Odd(torch.nn.Module):
    """An operator that ONNX has and TensorRT does not."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.det(x)


@pytest.mark.slow
def test_the_same_model_gives_the_same_bundle(bundle_of: Made, tmp_path: Path) -> None:
    again = export(*MADE["int8"](), tmp_path)
    assert opened(again)[0].digest == bundle_of("int8")[0].digest


@pytest.mark.slow
def test_an_operator_that_tensorrt_lacks_is_named_with_what_to_do(tmp_path: Path) -> None:
    made = source(Odd(), (1, 3, 3), calibration=None, checks=None)
    log = tmp_path / "log.txt"
    with pytest.raises(
        ExportError, match=r"would reject the model: operator: Det /Det TensorRT's parser does not know"
    ):
        export(made, target("jetson-orin-nano-fp32"), tmp_path, log=log)
    assert "operator: Det" in log.read_text()
