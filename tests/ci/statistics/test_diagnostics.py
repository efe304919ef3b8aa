from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_ci.statistics.diagnostics import lag_one, outliers, resembles_itself

QUIET = [0.0, 0.1, -0.1, 0.05, -0.05, 0.02, -0.02, 0.03]


def test_what_stands_out_is_named() -> None:
    found = outliers([*QUIET, 9.0, -9.0])
    assert found.indices == (8, 9)
    assert not found.too_many


def test_more_than_the_trimmed_mean_leaves_out() -> None:
    assert outliers([*QUIET, 9.0, 9.1, 9.2]).too_many  # 3 of 11, of which 2 are left out
    assert not outliers([*QUIET, 9.0, 9.1, -9.2]).too_many


@pytest.mark.parametrize("values", [[], [1.0, 1.0, 9.0], [5.0] * 20, [5.0] * 20 + [6.0]])
def test_where_nothing_can_stand_out(values: list[float]) -> None:
    assert outliers(values).indices == ()


def test_normal_noise_seldom_looks_odd() -> None:
    rng = np.random.default_rng(1)
    assert np.mean([len(outliers(rng.standard_normal(64)).indices) for _ in range(300)]) < 0.3
    assert np.mean([resembles_itself(rng.standard_normal(32)) > 0 for _ in range(2000)]) == pytest.approx(
        0.01, abs=0.008
    )


def test_correlation_of_an_ar1_is_its_coefficient() -> None:
    rng = np.random.default_rng(2)
    x = np.zeros(50_000)
    for i in range(1, x.size):
        x[i] = 0.6 * x[i - 1] + rng.standard_normal()
    assert lag_one(x) == pytest.approx(0.6, abs=0.02)
    assert resembles_itself(x) == lag_one(x)
    assert resembles_itself(-np.tile([1.0, -1.0], 20)) == 0.0


@given(st.lists(st.floats(-1e6, 1e6), max_size=30))
def test_a_correlation_is_a_number_between_its_limits(values: list[float]) -> None:
    assert -1 - 1e-9 <= lag_one(values) <= 1 + 1e-9
    assert 0 <= resembles_itself(values) <= 1 + 1e-9
