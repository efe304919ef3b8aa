"""A float32 graph in float16: Casts where they are needed, float32 where float16 ends, the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from seatrial.exporters.host import HostSession
from seatrial.exporters.tensorrt.half import to_half, too_wide
from seatrial.verify.onnx_graph import Graph
from seatrial_targets.errors import ExportError


def model(nodes: list[Any], constants: dict[str, Any], outputs: list[str], kind: int = T.FLOAT) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", T.FLOAT, [4, 8])],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def node(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs, [output], name=output, **attributes)


def run(made: onnx.ModelProto, x: Any) -> list[Any]:
    onnx.shape_inference.infer_shapes(made, check_type=True, strict_mode=True)
    return list(HostSession(made.SerializeToString(), optimization="none").run({"x": x}).values())


X = np.linspace(-2, 2, 32, dtype=np.float32).reshape(4, 8)


def test_ends_stay_float32_and_all_between_is_float16() -> None:
    weights = {"w": np.eye(8, dtype=np.float32) * 3, "b": np.ones(8, np.float32)}
    made = model([node("Gemm", ["x", "w", "b"], "g"), node("Relu", ["g"], "y")], weights, ["g", "y"])
    half = to_half(made)
    graph = Graph.of(half)
    assert {graph.type_of(name) for n in graph.nodes if n.op_type != "Cast" for name in n.input} == {T.FLOAT16}
    assert {each.data_type for each in half.graph.initializer} == {T.FLOAT16}
    for found, expected in zip(run(half, X), run(made, X), strict=True):
        assert found.dtype == np.float32
        assert np.allclose(found, expected, atol=0.01)


def test_what_leaves_float16_stays_in_float32_with_casts_around() -> None:
    nodes = [node("Mul", ["x", "big"], "m"), node("Div", ["m", "big"], "d"), node("Relu", ["d"], "y")]
    made = model(nodes, {"big": np.float32(60000)}, ["y"])
    wide = too_wide(made, {"x": (-2, 2), "m": (-120000, 120000), "d": (-2, 2), "y": (0, 2)})
    assert wide == {"m": 120000, "d": 120000}
    half = to_half(made, wide)
    graph = Graph.of(half)
    types = {n.name: graph.type_of(n.output[0]) for n in graph.nodes if n.op_type != "Cast"}
    assert types == {"m": T.FLOAT, "d": T.FLOAT, "y": T.FLOAT16}
    assert np.allclose(run(half, X)[0], np.maximum(X, 0), atol=0.01)


def test_a_constant_beyond_float16_is_found_and_a_mask_is_none() -> None:
    nodes = [node("Add", ["x", "mask"], "a"), node("Mul", ["a", "big"], "y")]
    made = model(nodes, {"mask": np.float32(-3e38), "big": np.float32(1e5)}, ["y"])
    assert too_wide(made, {"x": (-2, 2), "a": (-3e38, 2)}) == {"y": 1e5}
    (mask,) = [each for each in to_half(made).graph.initializer if each.name == "mask_half"]
    assert numpy_helper.to_array(mask) == np.float16(-65504)


def test_what_a_quantizer_reads_counts_for_what_reads_it() -> None:
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], "q"),
        node("DequantizeLinear", ["q", "s", "z"], "d"),
        node("Mul", ["d", "small"], "y"),
    ]
    made = model(nodes, {"s": np.float32(1000), "z": np.int8(0), "small": np.float32(1e-4)}, ["y"])
    assert set(too_wide(made, {"x": (-1e5, 1e5), "y": (-10, 10)})) == {"y"}


def test_a_margin_is_left_for_other_inputs() -> None:
    made = model([node("Relu", ["x"], "y")], {}, ["y"])
    assert too_wide(made, {"x": (-2, 16000), "y": (0, 16000)}) == {}
    assert too_wide(made, {"x": (-20000, 2), "y": (0, 2)}) == {"y": 20000}


def test_sizes_are_counted_in_float32() -> None:
    nodes = [
        node("Shape", ["x"], "s"),
        node("Cast", ["s"], "f", to=T.FLOAT),
        node("Mul", ["f", "odd"], "p"),
        node("Cast", ["p"], "y", to=T.INT64),
    ]
    made = model(nodes, {"odd": np.float32(2049)}, ["y"], T.INT64)
    assert run(to_half(made), X)[0].tolist() == [4 * 2049, 8 * 2049]


def test_casts_of_data_follow_and_operators_without_float16_do_not() -> None:
    nodes = [
        node("Greater", ["x", "zero"], "p"),
        node("Cast", ["p"], "c", to=T.FLOAT),
        node("Mul", ["c", "x"], "m"),
        helper.make_node("Multinomial", ["m"], ["i"], name="i", sample_size=1, seed=1.0),
        node("Sqrt", ["m"], "y"),
    ]
    half = to_half(model(nodes, {"zero": np.float32(0)}, ["y"]))
    assert np.allclose(run(half, X)[0], np.sqrt(np.maximum(X, 0)), atol=0.01)


def test_control_flow_is_refused() -> None:
    inner = helper.make_graph(
        [node("Relu", ["x"], "r")], "then", [], [helper.make_tensor_value_info("r", T.FLOAT, None)]
    )
    nodes = [node("If", ["c"], "y", then_branch=inner, else_branch=inner)]
    with pytest.raises(ExportError, match="holds a graph of its own"):
        to_half(model(nodes, {"c": np.array(True)}, ["y"]))


ONE = ("Relu", "Sigmoid", "Neg", "Abs", "Exp")
TWO = ("Add", "Mul", "Sub", "Max")


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_graph_of_such_operators_gives_the_same_within_float16(data: st.DataObject) -> None:
    names, nodes = ["x", "k"], []
    for i in range(data.draw(st.integers(1, 6))):
        op = data.draw(st.sampled_from((*ONE, *TWO)))
        given_ = [data.draw(st.sampled_from(names)) for _ in range(2 if op in TWO else 1)]
        nodes += [node(op, given_, f"t{i}"), node("Tanh", [f"t{i}"], f"u{i}")]  # bounded, so that float16 holds it
        names.append(f"u{i}")
    keep = data.draw(st.sets(st.sampled_from([each.name for each in nodes])))
    made = model(nodes, {"k": np.linspace(-1, 1, 8, dtype=np.float32)}, [names[-1]])
    assert np.allclose(run(to_half(made, keep), X)[0], run(made, X)[0], atol=0.02)
