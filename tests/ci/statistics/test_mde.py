import numpy as np
import pytest
from scipy import stats

from seatrial_ci.statistics.mde import minimum_detectable_effect, pairs_needed
from seatrial_ci.statistics.trimmed import trimmed_mean


def test_formula():
    expected = 0.01 + (stats.t.ppf(0.9975, 5) + stats.t.ppf(0.99, 5)) * 0.002
    assert minimum_detectable_effect(0.002, 5, 0.0025, 0.01, 0.01) == pytest.approx(expected)


def test_no_noise_detects_all_that_is_not_ignored():
    assert minimum_detectable_effect(0.0, 5, 0.01, 0.01, 0.01) == pytest.approx(0.01)


def test_the_pairs_it_asks_for_detect_the_effect():
    n = pairs_needed(0.02, 0.05)
    rng = np.random.default_rng(1)
    found = [trimmed_mean(0.05 + 0.02 * rng.standard_normal(n)).bounds(0.01, 0.01)[0] > 0 for _ in range(1000)]
    assert n < 12
    assert np.mean(found) > 0.97


def test_four_times_the_pairs_for_half_the_effect():
    assert pairs_needed(0.02, 0.002) == pytest.approx(4 * pairs_needed(0.02, 0.004), rel=0.02)


def test_an_effect_of_nothing_is_an_error():
    with pytest.raises(ValueError, match="positive"):
        pairs_needed(0.01, 0.0)
