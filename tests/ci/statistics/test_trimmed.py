import numpy as np
import pytest
from scipy import stats

from seatrial_ci.statistics.trimmed import trimmed_mean


@pytest.mark.parametrize("n", [5, 8, 16, 33])
def test_it_is_the_trimmed_t_of_scipy(n):
    x = np.random.default_rng(n).standard_t(3, n) + 0.4
    found = trimmed_mean(x)
    g = int(0.2 * n)
    winsorized = np.asarray(stats.mstats.winsorize(x, (g / n, g / n)))
    h = n - 2 * g
    assert found.mean == pytest.approx(stats.trim_mean(x, 0.2))
    assert found.se == pytest.approx(winsorized.std(ddof=1) * np.sqrt((n - 1) / (h * (h - 1))))
    assert found.df == h - 1


def test_without_trimming_it_is_students_t():
    x = np.random.default_rng(0).standard_normal(12)
    found = trimmed_mean(x, trim=0.0)
    assert (found.mean, found.se) == pytest.approx((x.mean(), stats.sem(x)))
    assert found.bounds(0.025, 0.025) == pytest.approx(stats.t.interval(0.95, 11, x.mean(), stats.sem(x)))


def test_an_outlier_run_is_ignored():
    quiet = trimmed_mean([0.0, 0.1, -0.1, 0.05, -0.05, 0.02, -0.02, 0.0])
    assert trimmed_mean([0.0, 0.1, -0.1, 0.05, -0.05, 0.02, -0.02, 50.0]).mean == pytest.approx(quiet.mean, abs=0.03)


@pytest.mark.parametrize("values", [[], [1.0]])
def test_too_few_values_is_an_error(values):
    with pytest.raises(ValueError, match="at least 2"):
        trimmed_mean(values)


def test_its_lower_bound_misses_as_often_as_it_says():
    rng = np.random.default_rng(6)
    low = [trimmed_mean(rng.standard_normal(16)).bounds(0.05, 0.05)[0] for _ in range(4000)]
    assert np.mean(np.array(low) > 0) == pytest.approx(0.05, abs=0.015)
