import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_ci.statistics.duet import duet_log_ratio, quadruple_log_ratios

times = st.lists(st.integers(1, 10**9), min_size=2, max_size=40)


def test_twice_as_slow_is_ln_2():
    assert duet_log_ratio([20, 20, 20, 20], [10, 10, 10, 10]) == pytest.approx(np.log(2))


def test_a_linear_drift_cancels_whichever_went_first():
    order = np.arange(100, 112.0)  # time of each inference: A B B A A B B A A B B A, all equal but for the drift
    outer, inner = order[[0, 3, 4, 7, 8, 11]], order[[1, 2, 5, 6, 9, 10]]
    assert quadruple_log_ratios(outer, inner) == pytest.approx(np.zeros(3))
    assert quadruple_log_ratios(inner, outer) == pytest.approx(np.zeros(3))


def test_one_disturbed_quadruple_does_not_move_the_median():
    candidate, baseline = [10] * 20, [10] * 20
    candidate[7] = 10_000
    assert duet_log_ratio(candidate, baseline) == 0


def test_incomplete_quadruples_are_dropped():
    assert quadruple_log_ratios([2, 2, 2, 2, 99], [1, 1, 1]).shape == (1,)


@pytest.mark.parametrize(("candidate", "baseline"), [([1], [1]), ([], [1, 1]), ([5, 5], [])])
def test_without_a_whole_quadruple_there_is_no_figure(candidate, baseline):
    with pytest.raises(ValueError, match="quadruple"):
        duet_log_ratio(candidate, baseline)


def test_a_time_of_zero_is_an_error_and_not_minus_infinity():
    with pytest.raises(ValueError, match="not positive"):
        duet_log_ratio([0, 5], [5, 5])


@given(times, times)
def test_swapping_the_bundles_changes_the_sign(candidate, baseline):
    assert duet_log_ratio(candidate, baseline) == pytest.approx(-duet_log_ratio(baseline, candidate), abs=1e-12)


@given(times, st.integers(2, 1000))
def test_the_unit_of_time_does_not_matter(samples, factor):
    other = samples[::-1]
    scaled = duet_log_ratio([x * factor for x in samples], [x * factor for x in other])
    assert scaled == pytest.approx(duet_log_ratio(samples, other), abs=1e-9)


def test_recorded_duets_of_one_model_with_itself_are_equal_within_their_noise(noisy_duets):
    figures = np.array([duet_log_ratio(a, b) for a, b in noisy_duets])
    assert abs(figures.mean()) < 0.01
    assert figures.std(ddof=1) < 0.02
    plain = np.array([np.median(a) for a, _ in noisy_duets])
    assert np.log(plain).std(ddof=1) > 3 * figures.std(ddof=1)
