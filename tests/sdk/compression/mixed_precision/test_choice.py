"""Which layers stay in float: the arithmetic of the choice, on curves whose right answer is plain."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ElementTree

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from seatrial.compression.mixed_precision.choose import (
    Change,
    Layer,
    Point,
    assigned,
    choose,
    front,
    knee,
    order,
    shares,
)
from seatrial.compression.mixed_precision.cost import float_sibling
from seatrial.compression.mixed_precision.plot import curve_svg
from seatrial.compression.mixed_precision.sensitivity import divergence, rounded, sqnr_db


def point(count: int, quality: float, latency: float) -> Point:
    return Point(tuple(f"layer{i}" for i in range(count)), quality, latency, True)


CURVE = [point(0, 20.0, 1.0), point(1, 26.0, 1.1), point(2, 25.0, 1.3), point(3, 28.0, 1.6), point(4, 29.0, 2.4)]


def test_the_best_bargain_comes_first_and_what_gains_nothing_not_at_all() -> None:
    found = order([Layer("a", 1.0, 0.5), Layer("b", 1.0, 0.1), Layer("c", 0.0, 0.0)])
    assert found == [Change("b", "fp32"), Change("a", "fp32")]


def test_float16_comes_before_float32_where_it_is_the_better_bargain() -> None:
    halves = [Change("a", "fp16"), Change("a", "fp32")]
    assert order([Layer("a", 1.0, 0.4, half_noise=0.1, half_cost=0.1)]) == halves
    assert order([Layer("a", 1.0, 0.4, half_noise=0.9, half_cost=0.3)]) == halves[1:]
    # an x86 CPU: float16 takes longer than float32
    assert order([Layer("a", 1.0, 0.4, half_noise=0.0, half_cost=0.5)]) == halves[1:]
    assert order([Layer("a", 1.0, 0.4, half_noise=0.0, half_cost=0.1)]) == halves[:1]


LAYERS = st.builds(
    Layer, st.sampled_from("abcdefgh"), st.floats(0, 9), st.floats(0, 2), st.floats(0, 9), st.none() | st.floats(0, 2)
)


@given(st.lists(LAYERS, max_size=8, unique_by=lambda each: each.path))
def test_no_change_gives_back_what_was_gained(layers: list[Layer]) -> None:
    changes = order(layers)
    for path in {each.path for each in changes}:
        assert [each.level for each in changes if each.path == path] in (["fp16"], ["fp16", "fp32"], ["fp32"])
    lossy = {each.path: each for each in layers if each.noise > 0}
    assert set(assigned(changes)) <= set(lossy)


def test_the_front_holds_what_no_other_beats() -> None:
    assert [len(each.float_layers) for each in front(CURVE)] == [0, 1, 3, 4]


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.5, 3)), min_size=1, max_size=12))
def test_every_point_is_on_the_front_or_beaten_by_one_that_is(pairs: list[tuple[float, float]]) -> None:
    points = [point(i, quality, latency) for i, (quality, latency) in enumerate(pairs)]
    kept = front(points)
    assert all(any(k.quality >= p.quality and k.latency <= p.latency for k in kept) for p in points)
    assert all(a.quality < b.quality and a.latency <= b.latency for a, b in itertools.pairwise(kept))


@pytest.mark.parametrize(("least", "layers"), [(15.0, 0), (20.5, 1), (26.5, 3), (29.0, 4)])
def test_a_quality_is_met_by_the_fastest_that_has_it(least: float, layers: int) -> None:
    found, why = choose(CURVE, least_quality=least)
    assert found is not None
    assert len(found.float_layers) == layers
    assert "the fastest of" in why


@pytest.mark.parametrize(("most", "layers"), [(1.0, 0), (1.2, 1), (1.55, 1), (9.0, 4)])
def test_a_latency_is_filled_with_the_best_that_fits(most: float, layers: int) -> None:
    found, _ = choose(CURVE, most_latency=most)
    assert found is not None
    assert len(found.float_layers) == layers


def test_a_mixed_model_that_is_slower_than_the_float_one_is_never_taken() -> None:
    assert len(choose(CURVE, most_latency=9.0, float_latency=2.0)[0].float_layers) == 3  # type: ignore[union-attr]
    assert choose(CURVE, least_quality=29.0, float_latency=2.0)[0] is None
    # INT8 that is slower than float is still what was asked for: there is nothing else to give
    assert choose(CURVE, float_latency=0.5)[0] == CURVE[0]


def test_what_can_not_be_reached_is_said_with_what_can() -> None:
    found, why = choose(CURVE, least_quality=40.0)
    assert found is None
    assert why == "no assignment reaches 40; the best one measured has 29"


def test_without_a_target_it_is_the_knee() -> None:
    assert knee(front(CURVE)) == CURVE[1]
    assert choose(CURVE)[0] == CURVE[1]
    assert knee([CURVE[0]]) == CURVE[0]


def test_estimates_share_the_time_by_arithmetic() -> None:
    assert shares({"a": 3, "b": 1}, 3.0) == {"a": 1.5, "b": 0.5}
    assert shares({}, 3.0) == {}


def test_siblings_in_float() -> None:
    assert float_sibling("x86-64-cpu-int8") == "x86-64-cpu-fp32"
    assert float_sibling("x86-64-cpu-int8-dynamic") == "x86-64-cpu-fp32"
    assert float_sibling("x86-64-cpu-fp32") == float_sibling("made-up-int8") == ""


def test_rounding_a_layer_is_undone_afterwards_and_exact_on_its_grid() -> None:
    layer = nn.Linear(3, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[127.0, 1.0, -3.0], [0.0, 12.7, -0.1]]))
    before = layer.weight.clone()
    x = torch.tensor([[1.27, 0.01, -0.5]])
    wanted = layer(x)
    with rounded(layer, 1.27, per_channel=True):
        assert torch.allclose(layer(x), wanted, atol=1e-5)
    assert torch.equal(layer.weight, before)
    with rounded(layer, 1.27, per_channel=False):
        assert layer.weight[1].tolist() == pytest.approx([0.0, 13.0, 0.0])
    assert torch.equal(layer(x), wanted)


def test_figures_of_known_pairs() -> None:
    reference = torch.tensor([[3.0, 4.0]])
    assert sqnr_db([(reference, reference + torch.tensor([[0.5, 0.0]]))]) == pytest.approx(20.0)
    assert sqnr_db([(reference, reference)]) == 150.0
    assert divergence([(reference, reference + 5)]) == pytest.approx(0.0, abs=1e-9)
    tilted = torch.tensor([[0.0, 3.0]]).log1p()  # (0, ln 4): probabilities 1/5 and 4/5 against 1/2 and 1/2
    assert divergence([(torch.zeros(1, 2), tilted)]) == pytest.approx(0.2231, abs=1e-4)  # ln(5/4)


def test_the_drawing_is_well_formed_and_names_are_text() -> None:
    points = [each.as_json() for each in (*CURVE, Point(("<b>&",), 22.0, 1.05, True, 1.0, 1.1))]
    details = {"points": points, "chosen": ["<b>&"], "metric": "sqnr", "cost": "estimated", "float_latency": 2.0}
    svg = curve_svg(details)
    root = ElementTree.fromstring(svg)
    circles = [each for each in root.iter() if each.tag.endswith("circle")]
    assert len(circles) == len(points)
    assert [each.get("r") for each in circles].count("7") == 1
    assert "ESTIMATED" in svg
    halved = {**details, "points": [Point((), 22.0, 1.0, True, half_layers=("a",)).as_json()], "chosen": []}
    assert "<title>a (float16)</title>" in curve_svg({**halved, "chosen_half": ["a"]})
    flat = {**details, "points": [points[0]], "chosen": [], "float_latency": None}
    assert "all INT8" in curve_svg(flat)
