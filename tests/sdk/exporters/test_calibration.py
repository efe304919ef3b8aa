"""Ranges for static INT8: what each method makes of data that we made."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from seatrial.exporters.calibration import by_entropy, by_percentile, calibrate
from seatrial_targets.profile import Quantization


def relu_model() -> onnx.ModelProto:
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 1000]) for name in "xy"]
    graph = onnx.helper.make_graph([node], "g", [values[0]], [values[1]])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)


def ramp(low: float, high: float) -> dict[str, np.ndarray]:
    return {"x": np.linspace(low, high, 1000, dtype=np.float32)[None]}


def test_minmax_is_over_all_samples() -> None:
    ranges = calibrate(relu_model(), [ramp(-1, 2), ramp(-3, 1)], Quantization(calibration="minmax"))
    assert ranges == {"x": (-3.0, 2.0), "y": (0.0, 2.0)}


def test_percentile_leaves_out_the_tails() -> None:
    ranges = calibrate(relu_model(), [ramp(-1, 1)], Quantization(calibration="percentile", percentile=98))
    low, high = ranges["x"]
    assert (low, high) == (pytest.approx(-0.98, abs=0.002), pytest.approx(0.98, abs=0.002))


def test_percentile_of_a_hundred_is_minmax() -> None:
    counts = np.array([1, 5, 5, 1])
    assert by_percentile(counts, (-1.0, 3.0), 100) == (-1.0, 3.0)


def test_entropy_cuts_a_lone_outlier_and_keeps_an_even_spread() -> None:
    bell = np.random.default_rng(0).normal(size=200_000)
    extremes = (-50.0, 50.0)  # one value at each end, ten times beyond the others
    counts, _ = np.histogram(np.append(bell, extremes), bins=4096, range=extremes)
    assert by_entropy(counts, extremes)[1] < 50 * 0.5
    even = np.full(4096, 100)
    assert by_entropy(even, (0.0, 1.0)) == (0.0, pytest.approx(1.0, abs=0.05))


@pytest.mark.parametrize("sign", [1, -1])
def test_entropy_is_not_misled_by_the_zeros_of_relu(sign: int) -> None:
    bell = np.random.default_rng(0).normal(size=200_000)
    counts, edges = np.histogram(sign * np.maximum(bell, 0), bins=4096)  # half of it exactly 0
    reach = float(np.abs(by_entropy(counts, (edges[0], edges[-1]))).max())
    assert reach > 3.0  # it was 2.2: one value in 36 clipped


def test_a_constant_tensor_has_an_empty_range_and_no_error() -> None:
    ranges = calibrate(relu_model(), [ramp(-1, -1)], Quantization(calibration="entropy"))
    assert ranges["y"] == (0.0, 0.0)
