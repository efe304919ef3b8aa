"""Bundles for TensorRT: what is in the graph, and in the record of the build."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from seatrial.exporters import export
from seatrial.verify.onnx_graph import Graph
from seatrial.verify.tensorrt import Context, lint_model
from seatrial_runner.bundle import Bundle
from seatrial_runner.enginebuild import ENGINE_BUILD_FILE, EngineBuild, read_engine_build
from seatrial_targets.errors import ExportError

from .models import Joined, Residual, constant, source, target

FLOAT, FLOAT16 = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


def opened(path: Path) -> tuple[Bundle, onnx.ModelProto, EngineBuild]:
    bundle = Bundle.open(path)
    return bundle, onnx.load(bundle.file("model.onnx")), read_engine_build(bundle.file(ENGINE_BUILD_FILE))


@pytest.mark.parametrize(
    ("base", "form", "least_db"),
    [
        ("jetson-orin-nano-fp32", "fp32", 110),
        ("jetson-orin-nano-fp16", "fp16", 55),
        ("jetson-orin-nano-int8", "qdq-fp16", 25),
        ("jetson-thor-int8", "qdq-fp16", 25),
    ],
)
def test_every_precision_is_near_torch_and_without_findings(
    tmp_path: Path, base: str, form: str, least_db: int
) -> None:
    bundle, model, build = opened(export(source(Residual()), target(base), tmp_path))
    assert bundle.manifest.parity["sqnr_db"] > least_db
    assert build.form == form
    assert build.onnx_sha256 == hashlib.sha256(bundle.file("model.onnx").read_bytes()).hexdigest()
    assert [each.version for each in model.opset_import] == [17]
    onnx.checker.check_model(model, full_check=True)
    assert [f for f in lint_model(model, Context.of(target(base))) if f.severity != "hint"] == []
    assert {each.name for each in model.graph.input} == {"x"}
    ends = (*model.graph.input, *model.graph.output)
    assert {each.type.tensor_type.elem_type for each in ends} == {FLOAT}


def test_quantizers_stand_before_what_multiplies_and_at_the_residual_branch_only(tmp_path: Path) -> None:
    _, model, _ = opened(export(source(Residual()), target(quantization={"rest": "fp32"}), tmp_path))
    graph = Graph.of(model)
    nodes = {node.name: node for node in graph.nodes}
    for name in ("stem.0/Conv", "one.0/Conv", "two.0/Conv", "down.0/Conv", "head/Gemm"):
        assert graph.dequantizer(nodes[name].input[0]) is not None, name
        assert graph.dequantizer(nodes[name].input[1]) is not None, name
        assert len(nodes[name].input) == 3
        assert graph.dequantizer(nodes[name].input[2]) is None, "biases stay in floating point"
    adds = [node for node in graph.nodes if node.op_type == "Add"]
    assert [[graph.dequantizer(name) is not None for name in add.input] for add in adds] == [
        [False, True],
        [True, False],
    ]
    assert [graph.maker(name).name for name in adds[1].input if graph.dequantizer(name) is None] == ["down.0/Conv"]
    assert graph.maker(adds[0].input[0]).name == "one.0/Conv"
    assert not [node for node in graph.nodes if node.op_type == "BatchNormalization"]


def test_a_scale_is_symmetric_per_channel_for_weights_and_shared_through_a_max_pool(tmp_path: Path) -> None:
    made = source(Residual())
    _, model, build = opened(export(made, target(quantization={"rest": "fp32"}), tmp_path))
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
    widest = max(float(np.abs(image.numpy()).max()) for image in made.calibration)
    assert scales["x"] == np.float32(widest / 127)
    assert build.calibration is not None
    assert build.calibration.scales["x"] == scales["x"]
    assert (build.calibration.method, build.calibration.samples) == ("minmax", 8)


def test_what_a_concat_joins_has_one_scale(tmp_path: Path) -> None:
    _, model, _ = opened(export(source(Joined()), target(quantization={"rest": "fp32"}), tmp_path))
    graph = Graph.of(model)
    concat = next(node for node in graph.nodes if node.op_type == "Concat")
    pairs = [
        graph.dequantizer(name)
        for name in (*concat.input, next(n for n in graph.nodes if n.name == "last/Conv").input[0])
    ]
    assert len({constant(model, pair.input[1]).item() for pair in pairs if pair is not None}) == 1
    assert None not in pairs


def test_one_file_has_both_precisions_with_scales_in_float32_between_casts(tmp_path: Path) -> None:
    bundle, model, build = opened(export(source(Residual()), target(), tmp_path))
    graph = Graph.of(model)
    for node in graph.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            assert graph.type_of(node.input[1]) == FLOAT
        if node.op_type in ("Conv", "Gemm", "Add", "Relu", "MaxPool"):
            assert {graph.type_of(name) for name in node.input} == {FLOAT16}
    assert bundle.manifest.precision_summary == {"int8": 5}
    assert build.trtexec_flags((8, 6, 2)) == ("--fp16", "--int8", "--noTF32")


def test_weights_are_integers_where_every_version_reads_them_and_rounded_floats_elsewhere(tmp_path: Path) -> None:
    old, old_model, old_build = opened(export(source(Residual()), target(), tmp_path))
    new, new_model, new_build = opened(export(source(Residual()), target("jetson-thor-int8"), tmp_path))
    assert (old_build.weights, new_build.weights) == ("float", "int8")
    integers, rounded = constant(new_model, "two.0.weight_q"), constant(old_model, "two.0.weight_rounded")
    scale = constant(old_model, "two.0.weight_scale")[:, None, None, None]
    assert np.array_equal(integers, np.rint(rounded / scale))
    assert np.abs(integers).max() == 127
    golden = [np.load(each.file(each.manifest.outputs[0].golden)) for each in (old, new)]
    assert np.array_equal(*golden), "the arithmetic is the same"
    assert new.manifest.size_bytes < old.manifest.size_bytes


def test_dynamic_shapes_become_profiles_and_hold_at_their_ends(tmp_path: Path) -> None:
    shapes = {"x": {"min": [1, 3, 16, 16], "opt": [2, 3, 16, 16], "max": [4, 3, 32, 16]}}
    bundle, _, build = opened(export(source(Residual()), target(shapes=shapes), tmp_path))
    assert {name: each.model_dump() for name, each in build.profiles.items()} == {
        "x": {"min": (1, 3, 16, 16), "opt": (2, 3, 16, 16), "max": (4, 3, 32, 16)}
    }
    assert bundle.manifest.parity["corner_shapes_sqnr_db"] > 20
    assert "--maxShapes=x:4x3x32x16" in build.trtexec_flags((10, 3))


def test_named_layers_stay_out_of_int8(tmp_path: Path) -> None:
    bundle, _, build = opened(export(source(Residual()), target(quantization={"keep_float": ["head", "t*"]}), tmp_path))
    assert bundle.manifest.precision_summary == {"float16": 2, "int8": 3}
    assert build.kept_float == ("head", "t*")
    assert any("not quantized: two.0/Conv, head/Gemm (kept by you)" in note for note in bundle.manifest.notes)
    with pytest.raises(ExportError, match=r"'hed' is no layer with weights; did you mean 'head'"):
        export(source(Residual()), target(quantization={"keep_float": ["hed"]}), tmp_path)


def test_without_calibration_data_it_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="needs calibration data"):
        export(source(Residual(), calibration=None), target(), tmp_path)


def test_layers_are_called_after_the_modules(tmp_path: Path) -> None:
    _, model, _ = opened(export(source(Residual()), target("jetson-orin-nano-fp32"), tmp_path))
    counted = Counter(node.name.rpartition("/")[0] for node in model.graph.node)
    assert {"stem.0", "pool", "one.0", "two.0", "down.0", "head"} <= set(counted)
