"""The effect of who comes first: found, taken out, and no error rate harmed by that."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from seatrial_ci.statistics.order import order_effect, without_order
from seatrial_ci.statistics.sequential import SequentialRule, look_at, replay
from seatrial_ci.statistics.trimmed import trimmed_mean


def alternating(n: int) -> np.ndarray:
    return np.where(np.arange(n) % 2 == 0, 1.0, -1.0)


def test_a_pure_order_effect_is_found_and_nothing_is_left() -> None:
    order = alternating(16)
    found, lost = without_order(0.03 + 0.006 * order, order)
    assert order_effect(0.03 + 0.006 * order, order) == pytest.approx(0.006)
    assert found == pytest.approx(np.full(16, 0.03))
    assert lost == 1


def test_it_is_the_coefficient_of_the_regression_on_the_order() -> None:
    """Up to the trimming, which is that of 4 values of 20 on either side: compared where there is none to speak of."""
    rng = np.random.default_rng(1)
    order = alternating(4000)
    x = 0.02 - 0.004 * order + 0.01 * rng.standard_normal(4000)
    assert order_effect(x, order) == pytest.approx(stats.linregress(order, x).slope, abs=0.0002)


@pytest.mark.parametrize(
    ("n", "order"),
    [(8, alternating(8)), (11, alternating(11)), (16, np.ones(16)), (16, np.array([1.0] * 13 + [-1.0] * 3)), (0, [])],
)
def test_too_few_of_either_order_change_nothing(n: int, order: np.ndarray) -> None:
    x = np.random.default_rng(2).standard_normal(n)
    found, lost = without_order(x, order)
    assert lost == 0
    assert (found == x).all()
    assert without_order(x, None)[1] == 0


def test_one_disturbed_pair_makes_no_order_effect() -> None:
    x = 0.001 * np.random.default_rng(3).standard_normal(32)
    x[4] = 0.5
    assert abs(order_effect(x, alternating(32)) or 1) < 0.001


def test_without_trimming_the_error_is_that_of_the_regression() -> None:
    """ddof 1 + lost and df h - 1 - lost: the residual error and degrees of freedom of least squares."""
    order = alternating(20)
    x = 0.02 + 0.01 * order + 0.01 * np.random.default_rng(4).standard_normal(20)
    fit = stats.linregress(order, x)
    centred = x - order * fit.slope
    found = trimmed_mean(centred, trim=0.0, lost=1)
    assert found.df == 18
    assert found.mean == pytest.approx(fit.intercept)
    assert found.se == pytest.approx(fit.intercept_stderr)


def test_bounds_are_narrower_by_what_the_order_added() -> None:
    order = alternating(32)
    noise = 0.0085 * np.random.default_rng(5).standard_normal(32)
    rule = SequentialRule()
    with_effect = look_at(noise + 0.006 * order, rule)
    taken_out = look_at(noise + 0.006 * order, rule, order)
    never_there = look_at(noise, rule)
    assert taken_out.high - taken_out.low < 0.85 * (with_effect.high - with_effect.low)
    assert taken_out.high - taken_out.low == pytest.approx(never_there.high - never_there.low, rel=0.1)
    assert taken_out.estimate == pytest.approx(never_there.estimate, abs=0.001)


@pytest.mark.parametrize("effect", [0.0, 0.006])
def test_false_alarms_stay_as_rare_as_promised(effect: float) -> None:
    rng = np.random.default_rng(6)
    rule, order = SequentialRule(ignore=0.005, margin=0.02), alternating(64)
    draws = np.log1p(0.005) + effect * order + 0.015 * rng.standard_normal((3000, 64))
    failed = sum(replay(x, rule, order).decision == "fail" for x in draws)
    assert failed <= 48  # P(more | 1.15 %) < .02, by chance alone; at 1 % 30 are expected
