import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from seatrial_ci.statistics.intervals import (
    autocorrelation_time,
    effective_sample_size,
    percentile_interval,
    quantile,
)


def ar1(rng, rho, n):
    noise = rng.standard_normal(n) * math.sqrt(1 - rho**2)
    x = np.empty(n)
    x[0] = rng.standard_normal()
    for i in range(1, n):
        x[i] = rho * x[i - 1] + noise[i]
    return x


def test_independent_samples_are_worth_themselves():
    x = np.random.default_rng(1).standard_normal(20_000)
    assert effective_sample_size(x, 0.0) == pytest.approx(20_000, rel=0.1)


def test_autocorrelation_time_of_an_ar1_is_its_closed_form():
    x = ar1(np.random.default_rng(2), 0.9, 200_000)
    assert autocorrelation_time(x) == pytest.approx((1 + 0.9) / (1 - 0.9), rel=0.1)


@pytest.mark.parametrize("series", [[], [1.0], [3.0] * 50])
def test_a_constant_or_tiny_series_has_time_one(series):
    assert autocorrelation_time(series) == 1.0


def test_an_alternating_series_is_never_worth_more_than_itself():
    assert autocorrelation_time([0.0, 1.0] * 100) == 1.0


def test_bounds_are_the_binomial_ranks_for_independent_samples():
    x = np.random.default_rng(3).permutation(1000).astype(float)
    found = percentile_interval(x, 0.5)
    low, high = stats.binom.ppf([0.025, 0.975], 1000, 0.5)
    assert found.estimate == pytest.approx(499.5)
    assert found.low == pytest.approx(low, abs=12)  # n_eff differs from n by chance
    assert found.high == pytest.approx(high, abs=12)


def test_a_percentile_beyond_the_samples_is_unbounded():
    found = percentile_interval(np.random.default_rng(3).permutation(100), 0.99)
    assert found.high == math.inf
    assert found.low > 90


def test_no_samples_is_an_error():
    with pytest.raises(ValueError, match="no samples"):
        percentile_interval([], 0.5)


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_coverage_holds_for_samples_that_resemble_each_other(level):
    rng = np.random.default_rng(4)
    truth = stats.norm.ppf(level)
    hits = [f.low <= truth <= f.high for f in (percentile_interval(ar1(rng, 0.9, 1000), level) for _ in range(300))]
    assert 0.87 <= np.mean(hits) <= 0.99  # 42 to 57 % if they are taken as independent


def test_a_run_recorded_on_a_shared_machine_is_worth_less_than_its_samples(noisy_run):
    assert 5 < effective_sample_size(noisy_run, float(np.median(noisy_run))) < 45  # of 60


@given(st.lists(st.integers(0, 2**53), min_size=1, max_size=300), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_numpys_bit_for_bit(samples, level):
    assert quantile(samples, level) == float(np.quantile(np.asarray(samples, dtype=np.float64), level))


def test_no_samples_have_no_quantile():
    with pytest.raises(ValueError, match="no samples"):
        quantile([], 0.5)
