import itertools
import json
import math
import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seatrial_ci.report.axes import STEPS, Axis
from seatrial_ci.report.chart import Band, Bar, Bars, Chart, Line, Mark, Rule, kept
from seatrial_ci.report.drawing import draw, draw_bars

UNIT = Axis(0, 10, "", "")


def numbers(path):
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", path)]


def test_a_value_is_where_its_axis_says():
    found = draw(Chart(UNIT, UNIT, marks=(Mark(5, 0, "used", "t"), Mark(0, 10, "used", "t"))))
    assert numbers(found.dots[0].path)[:2] == [found.inner_width / 2, found.inner_height]
    assert numbers(found.dots[1].path)[:2] == [0, 0]


def test_an_interval_is_a_line_along_its_axis():
    along = draw(Chart(UNIT, UNIT, marks=(Mark(5, 5, "g", "", (4, 6)), Mark(5, 5, "g", "", (4, 6), axis="y")))).dots
    x0, y, x1 = numbers(along[0].span)
    assert x0 < x1
    assert along[0].span == f"M{numbers(along[0].span)[0]:g},{y:g}H{x1:g}"
    assert "V" in along[1].span


def test_a_line_breaks_where_there_is_no_value():
    chart = Chart(UNIT, UNIT, lines=(Line("g", [0, 1, math.nan, 2, 3], [1, 2, math.nan, 3, 4]),))
    assert draw(chart).strokes[0].path.count("M") == 2


def test_a_staircase_has_no_slope():
    assert re.fullmatch(
        r"M0,[\d.]+H[\d.]+V[\d.]+", draw(Chart(UNIT, UNIT, lines=(Line("g", [0, 5], [0, 5], True),))).strokes[0].path
    )


def test_bands_and_rules_lie_along_their_axis():
    found = draw(Chart(UNIT, UNIT, bands=(Band(2, 4, "b"), Band(2, 4, "b", axis="x")), rules=(Rule(5, "r", "five"),)))
    across, along = found.boxes
    assert (across.width, across.height) == (found.inner_width, pytest.approx(found.inner_height / 5, abs=0.2))
    assert (along.height, along.width) == (found.inner_height, pytest.approx(found.inner_width / 5, abs=0.2))
    assert found.rule_labels[0].text == "five"


@pytest.mark.parametrize("values", [(0, 0.01, 0.05), (0, 5, 9), (-3, -3, -3)])
def test_labels_of_rules_keep_apart(values):
    rules = tuple(Rule(value, "r", str(value)) for value in values)
    places = [label.y for label in draw(Chart(UNIT, UNIT, rules=rules)).rule_labels]
    assert len(places) == 3
    assert all(a - b >= 13.9 for a, b in itertools.pairwise(places))


@given(st.floats(), st.floats())
def test_no_number_runs_away(x, y):
    found = draw(Chart(UNIT, UNIT, marks=(Mark(x, y, "g", "", (x, y)),), lines=(Line("g", [x], [y]),)))
    text = "".join(dot.path + dot.span for dot in found.dots) + found.strokes[0].path
    assert all(abs(number) < 20_000 for number in numbers(text))
    assert "nan" not in text
    assert "inf" not in text


@example(0.0, 6e306, "relative")
@given(st.floats(), st.floats(), st.sampled_from(sorted(STEPS)))
def test_the_axes_are_json_that_a_browser_reads(low, high, unit):
    axis = Axis(low, high, unit, "")
    found = json.loads(draw(Chart(axis, axis)).axes, parse_constant=lambda name: pytest.fail(name))
    assert all(math.isfinite(number) for number in found["x"][:2])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(2, 50))
def test_what_is_kept_has_every_extreme(values, most):
    places = kept(values, most)
    assert places == sorted(set(places))
    assert len(places) <= max(len(values) if len(values) <= most else most + 2, 1)
    assert {min(values), max(values)} <= {values[place] for place in places}
    assert {0, len(values) - 1} <= set(places)


def test_a_lone_outlier_among_many_survives():
    values = np.ones(100_000)
    values[77_777] = 9
    assert 77_777 in kept(values, 100)


def test_the_longest_bar_fills_the_width_and_a_long_name_is_shortened():
    found = draw_bars(Bars((Bar("a" * 99, 0.5, "50 %", "g"), Bar("b", 0.25, "25 %", "g"))))
    assert found.bars[0].width == pytest.approx(2 * found.bars[1].width)
    assert len(found.bars[0].label) < 40
    assert found.bars[0].text == "a" * 99 + ": 50 %"


def test_names_stand_beside_their_points_and_keep_apart():
    marks = tuple(Mark(x, y, "g", "", name=f"n{x}{y}") for x, y in ((1, 5), (1.2, 5), (1.1, 5.01), (9, 5)))
    found = {name.text: name for name in draw(Chart(UNIT, UNIT, marks=marks)).names}
    near = sorted(found[text].y for text in ("n15", "n1.25", "n1.15.01"))
    assert all(b - a >= 13.9 for a, b in itertools.pairwise(near))
    assert found["n15"].anchor == "start"
    assert found["n95"].anchor == "end"
    assert found["n95"].x < found["n95"].at_x + 78
