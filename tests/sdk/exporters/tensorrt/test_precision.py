"""From a float graph to the one that is exported: what a model computes on its way there."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto as T
from onnx import helper

from sdk.verify.small_models import model, value
from seatrial.exporters.host import Arrays, HostSession
from seatrial.exporters.onnx_surgery import serialized
from seatrial.exporters.parity import relative_l2
from seatrial.exporters.tensorrt.precision import Precise, with_precision
from seatrial.exporters.tensorrt.tolerance import tolerances_of

from .models import target


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
        helper.make_node("Conv", ["x", "a", "zero"], ["u"], name="first"),
        helper.make_node("Relu", ["u"], ["v"], name="relu"),
        helper.make_node("Conv", ["v", "b", "zero"], ["y"], name="second"),
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
