import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_ci.gate import judge
from seatrial_ci.report.chart import HEIGHT, WIDTH, Scale, pair_chart, run_chart, ticks
from seatrial_targets.budgets import Budgets


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_and_within(low, span):
    found = ticks(low, low + span)
    assert len(found) <= 14
    assert all(low - 1e-6 * span <= t <= low + span * (1 + 1e-6) or math.isclose(t, low + span) for t in found[1:-1])


def test_ticks_of_nothing_and_of_pairs():
    assert ticks(3, 3) == [3]
    assert ticks(1, 4, whole=True) == [1, 2, 3, 4]


def test_scale():
    assert Scale(0, 10, 100, 200)(5) == 150
    assert Scale(1, 1, 100, 200)(1) == 100


def charts(maker, effect):
    trial = maker.solos(3).duets(16, effect).trial()
    return pair_chart(judge(trial, Budgets()), trial), run_chart(trial)


@pytest.mark.parametrize("effect", [-0.62, 0.0, 0.05, 3.0])
def test_everything_lies_within_the_picture(maker, effect):
    for chart in charts(maker, effect):
        assert all(0 <= d.x <= WIDTH and 0 <= d.y <= HEIGHT for d in chart.dots)
        assert all(0 <= r.at <= HEIGHT and 0 <= r.label_at <= HEIGHT for r in chart.rules)
        assert all(r.to is None or r.to >= r.at for r in chart.rules)


@pytest.mark.parametrize("effect", [-0.62, 0.0, 3.0])
def test_labels_keep_apart(maker, effect):
    places = [r.label_at for r in charts(maker, effect)[0].rules if r.label]
    assert len(places) == 3
    assert all(a - b >= 13.9 for a, b in itertools.pairwise(places))


def test_a_slower_pair_is_drawn_higher(maker):
    chart = charts(maker, 0.05)[0]
    zero, ignore, margin = (r.at for r in chart.rules if r.label)
    assert zero > ignore > margin
    assert sum(d.y for d in chart.dots) / len(chart.dots) < ignore
