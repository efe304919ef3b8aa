import math

from hypothesis import given
from hypothesis import strategies as st

from seatrial_ci.report.axes import STEPS, Axis, around, ticks


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_and_within(low, span):
    found = ticks(low, low + span)
    assert len(found) <= 14
    assert all(low - 1e-6 * span <= t <= low + span * (1 + 1e-6) or math.isclose(t, low + span) for t in found[1:-1])


def test_ticks_of_nothing_and_of_pairs():
    assert ticks(3, 3) == [3]
    assert ticks(1, 4, whole=True) == [1, 2, 3, 4]


def labels(low, high, unit):
    return [text for _, text in Axis(low, high, unit, "").ticks]


def test_labels_have_the_digits_that_tell_them_apart():
    assert labels(10_010_000, 10_055_000, "ns") == ["10.01 ms", "10.02 ms", "10.03 ms", "10.04 ms", "10.05 ms"]
    assert labels(0, 5e9, "ns") == ["0 s", "1 s", "2 s", "3 s", "4 s", "5 s"]
    assert labels(-0.01, 0.011, "relative") == ["-1.0 %", "-0.5 %", "0.0 %", "+0.5 %", "+1.0 %"]
    assert labels(0, 1, "share") == ["0 %", "20 %", "40 %", "60 %", "80 %", "100 %"]
    assert labels(1_000_000, 3_000_000, "bytes") == ["1.0 MB", "1.5 MB", "2.0 MB", "2.5 MB", "3.0 MB"]
    assert labels(2100, 2400, "MHz")[0] == "2.10 GHz"


@given(st.sampled_from(sorted(STEPS)), st.just(0.0) | st.floats(1e-3, 1e12), st.floats(1e-3, 1e3))
def test_no_two_ticks_look_the_same(unit, low, relative):
    found = labels(low, low + (low or 1.0) * relative, unit)
    assert len(set(found)) == len(found)


def test_an_axis_around_values_holds_them_all():
    axis = around([3.0, 9.0, math.inf, math.nan], "ns", "")
    assert axis.low < 3
    assert axis.high > 9
    assert around([], "ns", "").place(0.0) == 0.5
    assert around([5.0], "ns", "", zero=True).low == 0
