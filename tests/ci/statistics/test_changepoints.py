from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_ci.statistics.changepoints import change_points


def series(*levels: tuple[float, int], sd: float = 0.01, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([level * np.exp(sd * rng.standard_normal(count)) for level, count in levels])


def test_one_step_is_found_where_it_is() -> None:
    (found,) = change_points(series((10.0, 20), (11.0, 20)))
    assert found.index == 20
    assert found.shift == pytest.approx(math.log(1.1), abs=0.01)
    assert found.p <= 0.001


def test_two_steps_are_both_found_in_order() -> None:
    found = change_points(series((10.0, 20), (12.0, 15), (9.0, 25)))
    assert [each.index for each in found] == [20, 35]
    assert [each.shift > 0 for each in found] == [True, False]


def test_an_outlier_is_no_level() -> None:
    x = series((10.0, 40))
    x[17] = 100.0
    assert change_points(x) == ()


def test_steady_noise_has_a_change_point_as_seldom_as_promised() -> None:
    found = sum(bool(change_points(series((10.0, 30), sd=0.05, seed=seed), seed=seed)) for seed in range(400))
    assert found <= 11  # 4 are expected at 1 %; P(more) < .002


def test_a_step_of_the_noises_own_size_is_found_in_enough_points() -> None:
    assert sum(bool(change_points(series((1.0, 40), (1.05, 40), sd=0.05, seed=s))) for s in range(20)) >= 18


@pytest.mark.parametrize("x", [[], [1.0] * 9, [5.0] * 60])
def test_too_few_or_equal_figures_have_none(x: list[float]) -> None:
    assert change_points(x) == ()


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_what_can_not_be_a_figure_is_an_error(bad: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        change_points([1.0] * 10 + [bad])


@given(st.lists(st.floats(1e-3, 1e3), max_size=40), st.integers(0, 3))
def test_the_same_history_gives_the_same_answer_and_no_level_is_short(x: list[float], seed: int) -> None:
    found = change_points(x, seed=seed)
    assert found == change_points(x, seed=seed)
    ends = [0, *(each.index for each in found), len(x)]
    assert not found or min(np.diff(ends)) >= 5
