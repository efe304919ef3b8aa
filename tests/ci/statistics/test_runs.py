import numpy as np
import pytest
from scipy import stats

from seatrial_ci.statistics.runs import run_interval


def test_it_is_students_interval_of_the_logs():
    x = np.array([9.8, 10.1, 10.4, 9.9, 10.0])
    low, high = stats.t.interval(0.98, 4, np.log(x).mean(), stats.sem(np.log(x)))
    found = run_interval(x, 0.01)
    assert found.estimate == pytest.approx(stats.gmean(x))
    assert (found.low, found.high) == pytest.approx((np.exp(low), np.exp(high)))
    assert found.runs == 5


def test_equal_figures_have_no_width():
    found = run_interval([7.0] * 3, 0.01)
    assert (found.low, found.high, found.sd) == (7, 7, 0)


@pytest.mark.parametrize("figures", [[], [1.0], [1.0, 0.0], [1.0, -2.0], [1.0, float("nan")]])
def test_what_has_no_interval_is_an_error(figures):
    with pytest.raises(ValueError, match=r"at least 2|positive"):
        run_interval(figures, 0.01)


@pytest.mark.parametrize("runs", [3, 5])
def test_each_bound_misses_as_often_as_it_says(runs):
    rng = np.random.default_rng(5)
    found = [run_interval(np.exp(0.05 * rng.standard_normal(runs)), 0.05) for _ in range(4000)]
    assert np.mean([f.low > 1 for f in found]) == pytest.approx(0.05, abs=0.012)
    assert np.mean([f.high < 1 for f in found]) == pytest.approx(0.05, abs=0.012)
