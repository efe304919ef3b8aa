"""Numbers in words: no digit that was not measured, none dropped from a limit."""

import math

import pytest

from seatrial_ci.gate.wording import between, exact, label, noise, show


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (4_312_345, "ns", "4.31 ms"),
        (-0.50432, "relative", "-50.4 %"),
        (0.00312, "relative", "+0.31 %"),
        (10.562, "relative", "+1056 %"),
        (59 / 60, "ratio", "98.3 %"),
        (22.29, "dB", "22.3 dB"),
        (0.925, "", "0.925"),
        (math.inf, "ns", "unbounded"),
        (None, "ns", "-"),
    ],
)
def test_measured(value, unit, text):
    assert show(value, unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (3_000_000_000, "ns", "3 s"),
        (1_234_500_000, "ns", "1.2345 s"),
        (200_000_000, "ns", "200 ms"),
        (6_000_000, "bytes", "6 MB"),
        (40.25, "mJ", "40.25 mJ"),
        (1500.0, "mJ", "1.5 J"),
        (0.05, "relative", "+5 %"),
        (0.9, "ratio", "90 %"),
        (15.0, "dB", "15 dB"),
        (0.8, "", "0.8"),
        (None, "ns", "-"),
    ],
)
def test_limits_are_what_was_written(value, unit, text):
    assert exact(value, unit) == text


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (4_280_000, 4_350_000, "ns", "4.28 to 4.35 ms"),
        (900_000, 1_100_000, "ns", "900 us to 1.10 ms"),
        (4_280_000, math.inf, "ns", "4.28 ms to unbounded"),
        (-0.52, -0.48, "relative", "-52.0 to -48.0 %"),
        (-0.382, 0.0174, "relative", "-38.2 to +1.7 %"),
        (0.7, 0.8, "", "0.7 to 0.8"),
        (None, 1, "ns", ""),
    ],
)
def test_between(low, high, unit, text):
    assert between(low, high, unit) == text


@pytest.mark.parametrize(("sd", "text"), [(0.2217, "22 %"), (0.0153, "1.5 %"), (0.0005, "0.05 %"), (0, "0.00 %")])
def test_noise_has_two_digits(sd, text):
    assert noise(sd) == text


@pytest.mark.parametrize(
    ("metric", "text"),
    [("latency_p90", "latency p90"), ("parity_sqnr", "parity SQNR"), ("accuracy a_b", "accuracy a_b")],
)
def test_label(metric, text):
    assert label(metric) == text
