"""Ranges whose right answer is plain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.compression.quantization.observers import PerChannelWeightObserver, RangeObserver, WeightObserver
from seatrial.compression.quantization.ranges import by_mse

SYMMETRIC = {"dtype": torch.int8, "quant_min": -127, "quant_max": 127, "qscheme": torch.per_tensor_symmetric}
AFFINE = {"dtype": torch.uint8, "quant_min": 0, "quant_max": 255, "qscheme": torch.per_tensor_affine}


def watched(*values: torch.Tensor, **settings: object) -> RangeObserver:
    observer = RangeObserver(**{**SYMMETRIC, **settings})
    for value in values:
        assert observer(value) is value
    return observer


def test_minmax_takes_all_values() -> None:
    scale, zero_point = watched(torch.tensor([0.5, -1.0]), torch.tensor([2.54])).calculate_qparams()
    assert float(scale) == pytest.approx(0.02)
    assert int(zero_point) == 0


def test_affine_holds_zero() -> None:
    scale, zero_point = watched(torch.tensor([1.0, 2.55]), **AFFINE).calculate_qparams()
    assert float(scale) == pytest.approx(0.01)
    assert int(zero_point) == 0


def test_a_percentile_leaves_the_outlier_out() -> None:
    values = torch.cat([torch.linspace(-1, 1, 99_999), torch.tensor([100.0])])
    low, high = watched(values, observer="percentile", percentile=99.9).range()
    assert high == pytest.approx(1.0, abs=0.05)
    assert low == pytest.approx(-1.0, abs=0.05)


def test_mse_clips_an_outlier_and_keeps_a_uniform_range() -> None:
    generator = torch.Generator().manual_seed(0)
    normal = torch.cat([torch.randn(100_000, generator=generator), torch.tensor([20.0])])
    assert watched(normal, observer="mse").range()[1] < 15
    uniform = torch.linspace(-1, 1, 100_000)
    assert watched(uniform, observer="mse").range()[1] == pytest.approx(1.0, abs=0.02)


def test_the_least_error_is_found() -> None:
    counts = np.ones(1000, np.int64)
    assert by_mse(counts, (0.0, 1.0), 255, False) == (0.0, 1.0)
    assert by_mse(np.zeros(10, np.int64), (0.0, 1.0), 255, False) == (0.0, 1.0)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30), st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_no_value_is_lost_when_the_range_grows(values: list[float], parts: int) -> None:
    tensor = torch.tensor(values)
    observer = watched(*tensor.tensor_split(parts), observer="entropy")
    assert int(observer.counts.sum()) == len(values)
    low, high = observer.range()
    assert min(0.0, float(tensor.min())) <= low <= high <= max(0.0, float(tensor.max())) or low == high


def test_nothing_seen_and_only_zeros() -> None:
    assert watched().range() == (0.0, 0.0)
    scale, _ = watched(torch.zeros(4), observer="mse").calculate_qparams()
    assert float(scale) > 0
    assert watched(torch.zeros(0)).range() == (0.0, 0.0)


def test_weights_have_a_scale_for_each_channel() -> None:
    weight = torch.tensor([[1.27, -0.5], [-2.54, 0.1]])
    spec = {"dtype": torch.int8, "quant_min": -127, "quant_max": 127}
    observer = PerChannelWeightObserver(qscheme=torch.per_channel_symmetric, **spec)
    observer(weight)
    assert observer.calculate_qparams()[0].tolist() == pytest.approx([0.01, 0.02])
    transposed = PerChannelWeightObserver(ch_axis=1, qscheme=torch.per_channel_symmetric, **spec)
    transposed(weight)
    assert transposed.calculate_qparams()[0].tolist() == pytest.approx([0.02, 0.5 / 127])
    whole = WeightObserver(qscheme=torch.per_tensor_symmetric, **spec)
    whole(weight)
    assert whole.calculate_qparams()[0].tolist() == pytest.approx([0.02])


def test_mse_of_weights_is_never_worse_than_minmax() -> None:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 64, generator=generator) ** 3
    errors = {}
    for kind in ("minmax", "mse"):
        observer = PerChannelWeightObserver(
            observer=kind, dtype=torch.int8, quant_min=-127, quant_max=127, qscheme=torch.per_channel_symmetric
        )
        observer(weight)
        step = observer.calculate_qparams()[0][:, None]
        errors[kind] = float(((weight / step).round().clamp(-127, 127) * step - weight).square().sum())
    assert errors["mse"] <= errors["minmax"]
