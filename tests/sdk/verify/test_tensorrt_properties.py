"""The linter on models that are made at random: right ones pass, each fault is found whatever stands around it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto as T
from onnx import helper, numpy_helper

from seatrial.verify.onnx_graph import read
from seatrial.verify.tensorrt import Context, lint_model
from seatrial_targets.errors import ModelError

from .small_models import Nodes, conv, model, pair, value, weight

CHANNELS = 8


def chain(kinds: list[str]) -> onnx.ModelProto:
    """Convolutions, residuals and pools one behind the other, quantized as TensorRT wants it."""
    nodes: Nodes = []
    constants: dict[str, Any] = {}
    last = "x"
    for i, kind in enumerate(kinds):
        more, others = pair(f"p{i}", last)
        nodes += more
        constants |= others
        if kind == "pool":
            nodes.append(helper.make_node("MaxPool", [f"p{i}_d"], [f"y{i}"], name=f"pool{i}", kernel_shape=[1, 1]))
        else:
            more, others = weight(f"w{i}", (CHANNELS, CHANNELS, 1, 1))
            nodes += [*more, helper.make_node("Conv", [f"p{i}_d", f"w{i}_d"], [f"c{i}"], name=f"conv{i}")]
            constants |= others
            if kind == "residual":
                nodes.append(helper.make_node("Add", [f"c{i}", f"p{i}_d"], [f"s{i}"], name=f"add{i}"))
            nodes.append(
                helper.make_node("Relu", [f"{'s' if kind == 'residual' else 'c'}{i}"], [f"y{i}"], name=f"relu{i}")
            )
        last = f"y{i}"
    nodes.append(helper.make_node("Identity", [last], ["y"], name="end"))
    return model(nodes, constants, [value("x", T.FLOAT, [1, CHANNELS, 4, 4])], [value("y", T.FLOAT, None)])


KINDS = st.lists(st.sampled_from(["conv", "residual", "pool"]), min_size=1, max_size=5)


def rules(made: onnx.ModelProto) -> set[str]:
    return {finding.rule for finding in lint_model(made, Context())}


@given(KINDS)
def test_nothing_is_said_of_any_right_chain(kinds: list[str]) -> None:
    assert rules(chain(kinds)) == set()


def replace(made: onnx.ModelProto, name: str, values: Any) -> None:
    tensor = next(each for each in made.graph.initializer if each.name == name)
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(values), name))


def zero_point(made: onnx.ModelProto, i: int) -> str:
    replace(made, f"p{i}_z", np.int8(5))
    return "zero-point"


def unsigned(made: onnx.ModelProto, i: int) -> str:
    replace(made, f"p{i}_z", np.uint8(0))
    return "integer-type"


def negative(made: onnx.ModelProto, i: int) -> str:
    replace(made, f"p{i}_s", np.float32(-0.1))
    return "scale"


def not_finite(made: onnx.ModelProto, i: int) -> str:
    replace(made, f"p{i}_s", np.float32(np.inf))
    return "scale"


def two_inputs(made: onnx.ModelProto, i: int) -> str:
    node = next(each for each in made.graph.node if each.name == f"dq_p{i}")
    del node.input[2]
    return "zero-point-input"


FAULTS: list[Callable[[onnx.ModelProto, int], str]] = [zero_point, unsigned, negative, not_finite, two_inputs]


@given(KINDS, st.sampled_from(FAULTS), st.data())
def test_a_fault_in_any_quantizer_is_found_at_its_place(kinds: list[str], fault: Any, data: st.DataObject) -> None:
    made, i = chain(kinds), data.draw(st.integers(0, len(kinds) - 1))
    rule = fault(made, i)
    places = {finding.node for finding in lint_model(made, Context()) if finding.rule == rule}
    assert places
    assert places <= {f"q_p{i}", f"dq_p{i}"}


@given(st.lists(st.sampled_from(["residual", "conv"]), min_size=1, max_size=4), st.data())
def test_a_weight_along_the_wrong_axis_is_found(kinds: list[str], data: st.DataObject) -> None:
    made, i = chain(kinds), data.draw(st.integers(0, len(kinds) - 1))
    for node in made.graph.node:
        if node.name in (f"q_w{i}", f"dq_w{i}"):
            node.attribute[0].i = data.draw(st.sampled_from([1, -3]))
    assert {f.node for f in lint_model(made, Context()) if f.rule == "weight-axis"} == {f"conv{i}"}


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_refused_or_judged_but_breaks_nothing(tmp_path_factory: Any, data: st.DataObject) -> None:
    raw = bytearray(conv().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path: Path = tmp_path_factory.mktemp("damaged") / "m.onnx"
    path.write_bytes(bytes(raw[: data.draw(st.integers(1, len(raw)))]))
    with contextlib.suppress(ModelError):
        assert all(finding.reason and finding.fix and finding.versions for finding in lint_model(read(path), Context()))


def test_a_model_of_many_nodes_is_walked_without_recursion() -> None:
    nodes, constants = pair("t", "x")
    nodes.append(helper.make_node("Identity", ["t_d"], ["t0"], name="first"))
    nodes += [helper.make_node("Identity", [f"t{i}"], [f"t{i + 1}"], name=f"n{i}") for i in range(3000)]
    made = model(nodes, constants, [value("x", T.FLOAT, [1])], [value("t3000", T.FLOAT, [1])])
    assert rules(made) == {"quantized-output"}


@pytest.mark.parametrize("name", ["", "a" * 300, "é\x1b[31m", '"quoted"'])
def test_names_may_be_anything(name: str) -> None:
    made = conv({"zero": np.int8(3)})
    made.graph.node[-1].name = name
    assert "zero-point" in rules(made)
