"""From a float graph to the one that is exported: what a model computes on its way there."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from sdk.verify.small_models import model, single, value
from seatrial.exporters.host import Arrays, HostSession
from seatrial.exporters.onnx_surgery import serialized
from seatrial.exporters.parity import relative_l2
from seatrial.exporters.tensorrt.ends import EndsSession, narrowed, require_types
from seatrial.exporters.tensorrt.precision import Precise, with_precision
from seatrial.exporters.tensorrt.tolerance import tolerances_of
from seatrial.verify.onnx_graph import Graph
from seatrial_targets.errors import ExportError

from .models import target

TARGET = target()


def two_layers() -> onnx.ModelProto:
    """y = conv(relu(conv(x))); the first weight's channels reach from 1 to 1e-3, so that one scale for all is coarse,
    and the second makes up for it."""
    generator, steps = np.random.default_rng(0), np.logspace(0, -3, 8, dtype=np.float32)
    weights = generator.standard_normal((2, 8, 8, 1, 1)).astype(np.float32)
    constants = {
        "a": weights[0] * steps[:, None, None, None], "b": weights[1] / steps[:, None, None],
        "zero": np.zeros(8, np.float32),
    }  # fmt: skip
    nodes = [
        helper.make_node("Conv", ["x", "a", "zero"], ["u"], name="first/Conv"),
        helper.make_node("Relu", ["u"], ["v"], name="relu"),
        helper.make_node("Conv", ["v", "b", "zero"], ["y"], name="second/Conv"),
    ]
    ends = value("x", T.FLOAT, [1, 8, 4, 4]), value("y", T.FLOAT, [1, 8, 4, 4])
    return model(nodes, constants, [ends[0]], [ends[1]])


@pytest.fixture(scope="module")
def samples() -> list[Arrays]:
    generator = np.random.default_rng(1)
    return [{"x": generator.standard_normal((1, 8, 4, 4)).astype(np.float32)} for _ in range(8)]


def precise(samples: list[Arrays], base: str, rest: str) -> Precise:
    wanted = target(base, quantization={"rest": rest})
    return with_precision(two_layers(), samples, samples[:1], (), wanted, lambda _: None)


@pytest.mark.parametrize("base", ["jetson-orin-nano-int8", "jetson-thor-int8"])
def test_what_is_computed_here_in_float_is_what_the_file_says(samples: list[Arrays], base: str) -> None:
    made = precise(samples, base, "fp32")
    assert made.plain is not made.model
    for sample in samples:
        found = [HostSession(serialized(m), optimization="none").run(sample)["y"] for m in (made.model, made.plain)]
        assert relative_l2(*found) < 1e-6


def test_the_optimisers_own_rounding_does_not_widen_a_tolerance(samples: list[Arrays]) -> None:
    made = precise(samples, "jetson-orin-nano-int8", "fp32")
    golden = HostSession(serialized(made.model), optimization="none").run(samples[0])
    assert tolerances_of(made, target(quantization={"rest": "fp32"}), samples[0], golden) == {"y": 0.05}


def test_a_module_that_is_named_stays_out_of_int8(samples: list[Arrays]) -> None:
    made = with_precision(two_layers(), samples, samples[:1], ("sec*",), TARGET, lambda _: None)
    graph = Graph.of(made.model)
    quantized = {n.name: graph.dequantizer(n.input[1]) is not None for n in graph.nodes if n.op_type == "Conv"}
    assert quantized == {"first/Conv": True, "second/Conv": False}
    assert made.kept_float == ("sec*",)
    assert any("not quantized: second/Conv (kept by you)" in note for note in made.notes)


def test_a_module_that_does_not_exist_is_an_error_with_a_suggestion(samples: list[Arrays]) -> None:
    with pytest.raises(ExportError, match=r"'secnd' is no layer with weights; did you mean 'second'"):
        with_precision(two_layers(), samples, samples[:1], ("secnd",), TARGET, lambda _: None)


def test_without_calibration_data_it_says_what_to_give(samples: list[Arrays]) -> None:
    with pytest.raises(ExportError, match="needs calibration data"):
        with_precision(two_layers(), [], samples[:1], (), TARGET, lambda _: None)


def test_float64_is_refused() -> None:
    with pytest.raises(ExportError, match=r"input 'x' is float64; .* with \.float\(\)"):
        require_types(single("Relu", T.DOUBLE))


def test_integers_beyond_int32_are_refused_where_tensorrt_has_no_others() -> None:
    made = narrowed(single("Abs", T.INT64, (1,)))
    session = EndsSession(made, serialized(made))
    assert session.run({"x": np.array([-7])})["y"].dtype == np.int32
    with pytest.raises(ExportError, match="input 'x' holds 1099511627776, and TensorRT 8 has no integers beyond int32"):
        session.given({"x": np.array([2**40])})
