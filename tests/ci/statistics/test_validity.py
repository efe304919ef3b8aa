import math

import numpy as np
import pytest
from scipy import stats

from seatrial_ci.statistics.validity import established_level, established_trend, support_of, thirds_log_ratio


@pytest.mark.parametrize(("level", "samples", "runs"), [(0.5, 11, 2), (0.9, 64, 2), (0.99, 1000, 10)])
def test_what_a_percentile_needs(level, samples, runs):
    """64 for p90 is MLPerf's own figure; its 662 for p99 gives way to 10 samples beyond the percentile."""
    assert (support_of(level).samples, support_of(level).runs) == (samples, runs)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_it_is_the_least_sample_by_the_binomial(level):
    n = support_of(level).samples
    assert stats.binom.cdf(1, n, 1 - level) <= 0.01 < stats.binom.cdf(1, n - 1, 1 - level)


def test_thirds():
    assert thirds_log_ratio([10, 10, 15, 15, 20, 20]) == pytest.approx(math.log(2))
    assert thirds_log_ratio([10] * 5) == 0
    assert thirds_log_ratio([0] * 9) == 0


def test_a_common_drift_is_established_and_a_chance_one_is_not():
    assert established_level([0.10, 0.101, 0.099, 0.10]) == pytest.approx(0.1, abs=0.02)
    assert established_level([0.1, -0.1, 0.2, -0.2]) == 0
    assert established_level([-0.10, -0.101, -0.099, -0.10]) < -0.08
    assert established_level([0.1, 0.1]) == 0  # two runs establish nothing


def test_a_trend_over_runs():
    assert established_trend(np.linspace(0, 0.1, 8)) == pytest.approx(0.1)
    assert established_trend(np.linspace(0, -0.1, 8)) == pytest.approx(-0.1)
    assert established_trend([0.0, 0.1, 0.0, 0.1, 0.0, 0.1]) == 0
    assert established_trend([0, 1, 2, 3]) == 0


def test_the_trend_is_the_regression_of_scipy():
    y = np.linspace(0, 0.2, 10) + 0.01 * np.random.default_rng(3).standard_normal(10)
    fit = stats.linregress(np.arange(10), y)
    assert established_trend(y, 0.01) == pytest.approx((fit.slope - stats.t.ppf(0.99, 8) * fit.stderr) * 9)


def test_steady_noise_hardly_ever_looks_like_drift():
    rng = np.random.default_rng(4)
    found = [established_trend(0.05 * rng.standard_normal(8), 0.01) for _ in range(1000)]
    assert np.mean(np.array(found) != 0) == pytest.approx(0.02, abs=0.015)
