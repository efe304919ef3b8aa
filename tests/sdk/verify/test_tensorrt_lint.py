"""Each rule on a model that breaks it, and none on models that are right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from seatrial.cli import cli
from seatrial.verify.onnx_graph import Graph
from seatrial.verify.tensorrt import RULES, Context, Finding, lint_model
from seatrial.verify.tensorrt.operators import two_of_four
from seatrial_targets.errors import ModelError
from seatrial_targets.profile import ShapeRange

from .small_models import FLOATING, REJECTED, RIGHT, conv, model, pair, residual, single, value, weight

TARGET = "jetson-orin-nano-int8"


def rules(made: onnx.ModelProto, context: Context = Context()) -> set[str]:  # noqa: B008
    return {finding.rule for finding in lint_model(made, context)}


@pytest.mark.parametrize("name", RIGHT)
def test_nothing_is_said_of_a_model_that_is_right(name: str) -> None:
    assert lint_model(RIGHT[name](), Context()) == ()


@pytest.mark.parametrize("name", REJECTED)
def test_what_the_parser_rejects_is_an_error(name: str) -> None:
    make, rule = REJECTED[name]
    found = {finding.rule: finding for finding in lint_model(make(), Context())}
    assert found[rule].severity == "error"


@pytest.mark.parametrize("name", FLOATING)
def test_what_silently_runs_in_float_is_a_warning(name: str) -> None:
    make, rule = FLOATING[name]
    assert [(f.rule, f.severity) for f in lint_model(make(), Context())] == [(rule, "warning")]


@pytest.mark.parametrize(
    ("make", "rule", "severity"),
    [
        (lambda: conv({"zero": np.uint8(0)}), "integer-type", "error"),
        (lambda: single("Gelu", domain="com.microsoft"), "domain", "error"),
        (lambda: single("Relu", T.DOUBLE), "wide-type", "warning"),
        (lambda: single("Relu", T.INT64), "wide-type", "hint"),
    ],
    ids=["uint8 with zero point 0", "another runtime's Gelu", "float64", "int64"],
)
def test_what_is_taken_but_means_something_else(make: Any, rule: str, severity: str) -> None:
    assert {(f.rule, f.severity) for f in lint_model(make(), Context())} == {(rule, severity)}


def test_the_convolutions_branch_of_an_add_must_stay_float() -> None:
    assert rules(residual(main_quantized=True)) == {"residual-add"}
    loose = lint_model(residual(main_quantized=False, residual_quantized=False), Context())
    assert [(f.rule, f.severity) for f in loose] == [("residual-add", "hint")]


def test_casts_around_quantizers_are_looked_through() -> None:
    made = _in_fp16(conv())
    assert "half-quantized" not in rules(made)
    assert "scale-type" not in rules(made)


def test_a_rule_holds_only_for_the_versions_that_it_concerns() -> None:
    made = conv({"scale": np.float16(0.02)}, {"scale_type": np.float16}, opset=19)
    assert {"scale-type", "opset"} <= rules(made, Context(oldest=(8, 5)))
    assert not {"scale-type", "opset"} & rules(made, Context(oldest=(10,)))


def test_without_a_zero_point_the_integers_are_unsigned() -> None:
    made = conv()
    quantizer = next(node for node in made.graph.node if node.name == "q_x")
    del quantizer.input[2]
    assert {"integer-type", "zero-point-input"} <= rules(made)
    assert "zero-point-input" not in rules(made, Context(oldest=(10,)))


def test_a_computed_scale_is_an_error() -> None:
    made = conv()
    made.graph.node.insert(0, helper.make_node("Abs", ["s"], ["x_s"], name="abs"))
    scale = next(each for each in made.graph.initializer if each.name == "x_s")
    scale.name = "s"
    assert "constant-scale" in rules(made)


def test_a_scale_in_a_constant_node_is_found() -> None:
    made = conv({"zero": np.int8(3)})
    for each in [t for t in made.graph.initializer if t.name in ("x_s", "x_z")]:
        made.graph.node.insert(0, helper.make_node("Constant", [], [each.name], value=each))
        made.graph.initializer.remove(each)
    assert rules(made) == {"zero-point"}


def test_nodes_of_a_subgraph_are_checked_too() -> None:
    branch = single("Unique").graph
    other = single("Relu").graph
    del branch.input[:], other.input[:]
    node = helper.make_node("If", ["c"], ["z"], name="if", then_branch=branch, else_branch=other)
    made = model([node], {}, [value("c", T.BOOL, []), value("x", T.FLOAT, [16])], [value("z", T.FLOAT, None)])
    assert "operator" in rules(made)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        (None, True),
        (ShapeRange(min=(1, 16, 8, 8), opt=(1, 16, 14, 14), max=(1, 16, 28, 28)), False),
        (ShapeRange(min=(1, 3, 8, 8), opt=(1, 3, 14, 14), max=(1, 3, 28, 28)), True),
        ((1, 16), True),
    ],
)
def test_a_dynamic_input_needs_a_range_that_fits(shape: object, expected: bool) -> None:
    made = conv()
    for axis in (2, 3):
        made.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = f"d{axis}"
    context = Context(shapes={"x": shape} if shape else {})  # type: ignore[dict-item]
    assert ("dynamic-shape" in rules(made, context)) is expected


def test_weights_beyond_fp16_are_found_unless_the_target_is_fp32() -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    big = np.full((4, 4, 1, 1), 1e5, np.float32)
    made = model(nodes, {"w": big}, [value("x", T.FLOAT, [1, 4, 2, 2])], [value("y", T.FLOAT, None)])
    assert rules(made) == {"fp16-range"}
    assert rules(made, Context(fp16=False)) == set()


def test_two_of_four_counts_groups_along_the_last_axis() -> None:
    assert two_of_four(np.array([[0, 0, 1, 2], [0, 1, 2, 3]])) == 0.5
    assert two_of_four(np.ones((2, 3))) == 1.0
    assert two_of_four(np.zeros((2, 9))) == 1.0


def test_half_of_the_weights_zero_without_a_pattern_is_pointed_out() -> None:
    weights = np.ones((8, 16, 1, 1), np.float32)
    weights[:4] = 0  # whole filters: half of all, but no group of the others has a zero
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")]
    ends = [value("x", T.FLOAT, [1, 16, 2, 2])], [value("y", T.FLOAT, None)]
    assert rules(model(nodes, {"w": weights}, *ends)) == {"sparsity"}
    pattern = np.ones((8, 16, 1, 1), np.float32)
    pattern[:, ::2] = 0
    assert rules(model(nodes, {"w": pattern}, *ends)) == set()


def test_batch_norm_activation_concat_pool_and_output() -> None:
    assert {"before-activation", "concat-scale", "max-pool-scale", "quantized-output"} <= rules(_untidy())


@pytest.mark.parametrize(
    ("quantized", "shared", "expected"), [(True, False, "warning"), (False, False, "hint"), (True, True, "")]
)
def test_a_batch_norm_that_could_have_been_folded(quantized: bool, shared: bool, expected: str) -> None:
    made = conv() if quantized else model(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")],
        {"w": np.ones((8, 16, 1, 1), np.float32)},
        [value("x", T.FLOAT, [1, 16, 14, 14])],
        [value("y", T.FLOAT, None)],
    )  # fmt: skip
    norm = {name: np.ones(8, np.float32) for name in ("g", "b", "m", "v")}
    made.graph.initializer.extend(onnx.numpy_helper.from_array(each, name) for name, each in norm.items())
    made.graph.node.append(helper.make_node("BatchNormalization", ["y", *norm], ["n"], name="bn"))
    if shared:
        made.graph.node.append(helper.make_node("Relu", ["y"], ["r"], name="relu"))
    made.graph.output[0].name = "n"
    found = [f.severity for f in lint_model(made, Context()) if f.rule == "batch-norm"]
    assert found == ([expected] if expected else [])


def test_every_rule_is_broken_by_some_model_here() -> None:
    shown = {rule for _, rule in (*REJECTED.values(), *FLOATING.values())}
    source = Path(__file__).read_text(encoding="utf-8")
    missing = [rule.name for rule in RULES if rule.name not in shown and f'"{rule.name}"' not in source]
    assert missing == []


def test_odd_channels_lone_quantizers_and_late_operators() -> None:
    odd, constants = weight("w", (9, 16, 1, 1))
    nodes, more = pair("x", "x")
    nodes += [*odd, helper.make_node("Conv", ["x_d", "w_d"], ["c"], name="conv")]
    nodes += [helper.make_node("Cast", ["x_q"], ["i"], to=T.INT32), helper.make_node("Abs", ["i"], ["k"], name="abs")]
    nodes += [helper.make_node("NonZero", ["c"], ["z"], name="nz")]
    outputs = [value("z", T.INT64, None), value("k", T.INT32, None)]
    made = model(nodes, constants | more, [value("x", T.FLOAT, [1, 16, 2, 2])], outputs)
    assert {"channels", "lone-quantizer", "late-operator", "wide-type"} <= rules(made)


def test_weights_stored_as_integers_are_for_10_and_later() -> None:
    made = conv(weights={"stored": "int8"})
    assert rules(made) == {"integer-weights"}
    assert rules(made, Context(oldest=(10,))) == set()


def test_one_scale_through_what_only_moves_values() -> None:
    def made(scale: float) -> onnx.ModelProto:
        nodes, constants = pair("x", "x")
        nodes.append(helper.make_node("Transpose", ["x_d"], ["t"], name="turn", perm=[1, 0]))
        more, others = pair("t", "t", np.float32(scale))
        nodes += [*more, helper.make_node("Relu", ["t_d"], ["y"], name="relu")]
        return model(nodes, constants | others, [value("x", T.FLOAT, [2, 4])], [value("y", T.FLOAT, [4, 2])])

    assert rules(made(0.5)) == {"moved-scale"}
    assert rules(made(0.02)) == set()


def test_wide_constants_and_a_needlessly_new_file_version() -> None:
    made = model(
        [helper.make_node("Cast", ["c"], ["y"], to=T.FLOAT, name="cast")],
        {"c": np.ones(3)},
        [],
        [value("y", T.FLOAT, [3])],
    )
    assert rules(made) == {"wide-constant"}
    made = conv()
    made.ir_version = 11
    assert rules(made) == {"ir-version"}


def test_opset_scale_and_transposed_convolution() -> None:
    nodes, constants = pair("x", "x", np.float16(0.02))
    more, others = weight("w", (16, 8, 3, 3), 1)
    nodes += [*more, helper.make_node("ConvTranspose", ["x_d", "w_d"], ["y"], name="up")]
    ends = [value("x", T.FLOAT16, [1, 16, 4, 4])], [value("y", T.FLOAT, None)]
    found = rules(model(nodes, constants | others, *ends))
    assert {"transposed-convolution", "scale-opset", "scale-type"} <= found


def test_the_command_names_places_and_ends_with_1_for_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(conv({"zero": np.int8(3)}), str(tmp_path / "bad.onnx"))
    onnx.save(FLOATING["weight axis"][0](), str(tmp_path / "slow.onnx"))
    assert _lint(tmp_path / "bad.onnx") == 1
    assert "zero-point" in (said := capsys.readouterr().out)
    assert "q_x" in said
    assert _lint(tmp_path / "slow.onnx") == 0
    assert _lint(tmp_path / "slow.onnx", "--strict") == 1
    capsys.readouterr()
    _lint(tmp_path / "bad.onnx", "--json")
    found = [Finding(**each) for each in json.loads(capsys.readouterr().out)["findings"]]
    assert {finding.rule for finding in found} == {"zero-point"}


@pytest.mark.parametrize(
    ("content", "target", "said"),
    [
        (b"not a model", TARGET, "is not an ONNX file"),
        (b"", TARGET, "is not an ONNX file"),
        (b"x", "raspberry-pi-5-int8", "runs onnxruntime"),
        (b"x", "jetson-orin-nano-int9", "did you mean"),
        (None, TARGET, "no such file"),
    ],
)
def test_wrong_usage_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, target: str, said: str
) -> None:
    if content is not None:
        (tmp_path / "m.onnx").write_bytes(content)
    assert cli.main(["lint", str(tmp_path / "m.onnx"), "--target", target], standalone_mode=False) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("ring", [[("b", "a"), ("a", "b")], [("a", "a")]])
def test_a_ring_of_nodes_is_refused_not_walked_for_ever(ring: list[tuple[str, str]]) -> None:
    nodes = [helper.make_node("Identity", [source], [made]) for source, made in ring]
    with pytest.raises(ModelError, match="damaged"):
        Graph.of(model(nodes, {}, [], [value("b", T.FLOAT, None)]))


def _lint(path: Path, *more: str) -> int:
    return int(cli.main(["lint", str(path), "--target", TARGET, *more], standalone_mode=False) or 0)


def _in_fp16(made: onnx.ModelProto) -> onnx.ModelProto:
    """Put a Cast before and behind every quantizer of an activation or weight, as an fp16 graph has them."""
    nodes = []
    for node in made.graph.node:
        if node.op_type == "DequantizeLinear":
            cast = helper.make_node("Cast", [f"{node.output[0]}_32"], [node.output[0]], to=T.FLOAT16)
            node.output[0] += "_32"
            nodes += [node, cast]
        elif node.op_type == "QuantizeLinear":
            wide = f"{node.input[0]}_32"
            nodes += [helper.make_node("Cast", [node.input[0]], [wide], to=T.FLOAT), node]
            node.input[0] = wide
        else:
            nodes.append(node)
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    made.graph.input[0].type.tensor_type.elem_type = T.FLOAT16
    return made


def _untidy() -> onnx.ModelProto:
    nodes, constants = pair("x", "x")
    more, others = weight("w", (16, 16, 1, 1))
    nodes += [*more, helper.make_node("Conv", ["x_d", "w_d"], ["c"], name="conv")]
    after, third = pair("c", "c")
    nodes += [*after, helper.make_node("Relu", ["c_d"], ["r"], name="relu")]
    pooled, fourth = pair("p", "p", np.float32(0.5))
    nodes += [helper.make_node("MaxPool", ["x_d"], ["p"], name="pool", kernel_shape=[1, 1]), *pooled]
    nodes += [helper.make_node("Concat", ["x_d", "p_d"], ["cat"], name="cat", axis=1)]
    last, fifth = pair("y", "cat")
    norm = {name: np.ones(16, np.float32) for name in ("g", "b", "m", "v")}
    nodes += [*last, helper.make_node("BatchNormalization", ["c", *norm], ["n"], name="bn")]
    outputs = [value(name, T.FLOAT, None) for name in ("y_d", "n", "r")]
    everything = constants | others | third | fourth | fifth | norm
    return model(nodes, everything, [value("x", T.FLOAT, [1, 16, 2, 2])], outputs)
