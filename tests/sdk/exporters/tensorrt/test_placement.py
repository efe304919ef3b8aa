"""Where quantizers go, on graphs made by hand; what they round to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from seatrial.exporters.host import HostSession
from seatrial.exporters.tensorrt.placement import place
from seatrial.exporters.tensorrt.quantize import activation_scales, quantized, weight_scales, with_quantizers
from seatrial.verify.onnx_graph import Graph
from seatrial.verify.tensorrt import Context, lint_model


def node(op: str, inputs: list[str], output: str, **attributes: Any) -> Any:
    return helper.make_node(op, inputs, [output], name=f"{output}/{op}", **attributes)


def model(nodes: list[Any], weights: dict[str, tuple[int, ...]], shape: tuple[int, ...] = (1, 8, 4, 4)) -> Any:
    rng = np.random.default_rng(0)
    constants = [numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in weights.items()]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", T.FLOAT, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], T.FLOAT, None)],
        constants,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return made


def edges(made: Any, *keep: str) -> set[tuple[str, int]]:
    return set(place(Graph.of(made), keep).edges)


def test_a_product_of_two_activations_and_a_transposed_convolution_stay_in_float() -> None:
    nodes = [
        node("ConvTranspose", ["x", "up"], "u"),
        node("Reshape", ["u", "shape"], "r"),
        node("Transpose", ["r"], "t", perm=[1, 0]),
        node("MatMul", ["r", "t"], "y"),
    ]
    made = model(nodes, {"up": (8, 2, 1, 1)})
    made.graph.initializer.append(numpy_helper.from_array(np.array([2, 16]), "shape"))
    found = place(Graph.of(made))
    assert found.edges == {}
    assert found.left == {
        "u/ConvTranspose": "NVIDIA's compiler runs transposed convolutions in floating point",
        "y/MatMul": "its second factor is computed, not a weight",
    }


def test_weights_are_quantized_along_their_output_channels() -> None:
    nodes = [
        node("Conv", ["x", "a"], "c"),
        node("Flatten", ["c"], "f"),
        node("Gemm", ["f", "b"], "g"),
        node("Gemm", ["g", "d"], "h", transB=1),
        node("MatMul", ["h", "e"], "y"),
    ]
    made = model(nodes, {"a": (4, 8, 1, 1), "b": (64, 6), "d": (5, 6), "e": (5, 3)})
    assert place(Graph.of(made)).weights == {"c/Conv": 0, "g/Gemm": 1, "h/Gemm": 0, "y/MatMul": 1}


def test_a_residual_behind_a_bias_is_found_and_one_that_is_read_twice_is_not() -> None:
    nodes = [
        node("MatMul", ["x", "a"], "m"),
        node("Add", ["m", "bias"], "b"),
        node("Add", ["x", "b"], "s"),
        node("Relu", ["s"], "y"),
    ]
    weights = {"a": (8, 8), "bias": (8,)}
    assert edges(model(nodes, weights, (2, 8))) == {("m/MatMul", 0), ("s/Add", 0)}
    nodes.insert(3, node("Mul", ["b", "s"], "t"))
    nodes[-1].input[0] = "t"
    assert edges(model(nodes, weights, (2, 8))) == {("m/MatMul", 0)}, "the sum's branch is needed in float elsewhere"


def test_quantizers_go_before_concat_and_max_pool_only_if_something_behind_is_quantized() -> None:
    nodes = [
        node("Relu", ["x"], "a"),
        node("MaxPool", ["x"], "p", kernel_shape=[1, 1]),
        node("Concat", ["a", "p"], "j", axis=1),
    ]
    assert edges(model([*nodes, node("Relu", ["j"], "y")], {})) == set()
    made = model([*nodes, node("Conv", ["j", "w"], "y")], {"w": (4, 16, 1, 1)})
    found = place(Graph.of(made))
    assert set(found.edges) == {("y/Conv", 0), ("j/Concat", 0), ("j/Concat", 1), ("p/MaxPool", 0)}
    assert len({found.groups[name] for name in ("x", "p", "a", "j")}) == 1
    scales = activation_scales({"x": (-1, 1), "a": (0, 1), "p": (-1, 254), "j": (-1, 2)}, found)
    assert set(scales.values()) == {np.float32(2)}


def test_what_is_kept_is_not_touched() -> None:
    made = model([node("Conv", ["x", "w"], "c"), node("Conv", ["c", "v"], "y")], {"w": (8, 8, 1, 1), "v": (4, 8, 1, 1)})
    assert edges(made, "c/Conv") == {("y/Conv", 0)}


def test_a_weight_that_two_layers_share_is_stored_once() -> None:
    nodes = [node("Conv", ["x", "w"], "c"), node("Conv", ["c", "w"], "y")]
    made = model(nodes, {"w": (8, 8, 1, 1)})
    found = place(Graph.of(made))
    scales = activation_scales({"x": (-1, 1), "c": (-9, 9)}, found)
    stored = with_quantizers(made, found, scales, "int8")
    assert [each.name for each in stored.graph.initializer if each.dims and len(each.dims) == 4] == ["w_q"]
    assert [f for f in lint_model(stored, Context(oldest=(10,))) if f.severity == "error"] == []


def test_scales_are_never_zero() -> None:
    found = place(Graph.of(model([node("Conv", ["x", "w"], "y")], {"w": (4, 8, 1, 1)})))
    assert activation_scales({"x": (0.0, 0.0)}, found)["x"] > 0
    assert (weight_scales(np.zeros((4, 8), np.float32), 0) > 0).all()


ARRAYS = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5), elements=st.floats(-1e6, 1e6, width=32)
)


@given(ARRAYS, st.data())
def test_rounding_a_weight_errs_by_half_a_step_and_keeps_zeros(values: Any, data: st.DataObject) -> None:
    axis = data.draw(st.integers(0, values.ndim - 1))
    scales = weight_scales(values, axis)
    integers = quantized(values, scales, axis)
    steps = scales.reshape([-1 if i == axis else 1 for i in range(values.ndim)]).astype(np.float64)
    assert np.abs(integers).max(initial=0) <= 127
    assert (np.abs(integers * steps - values) <= steps * 0.5001).all()
    assert (integers[values == 0] == 0).all()


@pytest.mark.parametrize("stored", ["int8", "float"])
def test_the_graph_computes_what_the_quantizers_say(stored: Any) -> None:
    made = model([node("Conv", ["x", "w"], "y")], {"w": (4, 8, 1, 1)})
    found = place(Graph.of(made))
    scale = np.float32(0.05)
    out = with_quantizers(made, found, {"x": scale}, stored)
    x = np.random.default_rng(1).standard_normal((1, 8, 4, 4)).astype(np.float32)
    weights = numpy_helper.to_array(made.graph.initializer[0])
    scales = weight_scales(weights, 0)
    rounded = quantized(weights, scales, 0) * scales[:, None, None, None]
    exact = np.einsum("oc,nchw->nohw", rounded[:, :, 0, 0], np.clip(np.rint(x / scale), -128, 127) * scale)
    (result,) = HostSession(out.SerializeToString(), optimization="none").run({"x": x}).values()
    assert np.allclose(result, exact, atol=1e-4)
