"""Each piece of evidence shows what the trial holds, or says why it can't."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from made_trials import MS, SECOND
from seatrial_ci.gate import judge
from seatrial_ci.history import Point
from seatrial_ci.judgement import Judgement
from seatrial_ci.report.chart import Chart
from seatrial_ci.report.evidence import Past, exhibits, variants, variants_of
from seatrial_runner.records import DeviceState, EnergySample, EnergyWindows, MeterInfo
from seatrial_targets.budgets import Budgets


def found(trial, past=None, budgets=None):
    verdict = judge(trial, budgets or Budgets.model_validate({"latency_p50": "1 s"}))
    return {each.key: each for each in exhibits(verdict, trial, past)}


def chart(exhibit, number=0) -> Chart:
    return exhibit.charts[number]


def test_every_exhibit_has_a_chart_and_a_table_or_says_why_not(maker):
    for trial in (maker.trial(), maker.solos(3, bundle="baseline").solos(3).duets(8).trial()):
        for each in [*found(trial).values(), variants_of(trial)]:
            assert bool(each.absent) != bool(each.charts)
            assert bool(each.charts) == bool(each.rows) == bool(each.says)
            assert all(len(row) == len(each.head) for row in each.rows)
            assert not each.absent.endswith(".")


@pytest.mark.parametrize("effect", [-0.62, 0.0, 0.05, 3.0])
def test_pairs_are_dots_at_their_ratio(maker, effect):
    each = found(maker.solos(3).duets(16, effect).trial())["pairs"]
    marks = chart(each).marks
    assert len(marks) == len(each.rows) == 16
    assert np.median([mark.y for mark in marks]) == pytest.approx(effect, rel=0.02, abs=0.02)
    assert {rule.group for rule in chart(each).rules} == {"zero", "ignore", "margin"}
    assert [(b.low, b.high) for b in chart(each).bands if b.group == "zone"] == [(0.01, 0.05)]


def test_pairs_made_after_the_look_that_decided_are_told_apart(maker):
    each = found(maker.solos(3).duets(16).trial())["pairs"]
    assert [mark.group for mark in chart(each).marks] == ["used"] * 8 + ["unused"] * 8
    assert [row[3] for row in each.rows] == ["yes"] * 8 + ["no"] * 8


def test_of_thousands_of_pairs_the_extremes_are_drawn_and_it_says_so(maker):
    trial = maker.duets(3000).trial()
    each = found(trial)["pairs"]
    drawn = [mark.y for mark in chart(each).marks]
    assert len(drawn) <= 1002
    assert "of 3000 pairs are drawn" in each.says
    assert each.left_out == "2872 more pairs are in the trial"


def test_runs_stand_with_their_own_interval_and_bundles_with_that_over_runs(maker):
    each = found(maker.solos(9, n=200).solos(9, 20 * MS, bundle="baseline", n=200).trial())["runs"]
    drawn = chart(each)
    assert len(drawn.marks) == 18
    assert all(mark.span[0] <= mark.x <= mark.span[1] for mark in drawn.marks)
    assert sorted(mark.y for mark in drawn.marks if mark.group == "candidate") == pytest.approx(
        [i / 9 for i in range(1, 10)]
    )
    assert [band.group for band in drawn.bands] == ["over candidate", "over baseline"]
    for band, centre in zip(drawn.bands, (10 * MS, 20 * MS), strict=True):
        assert band.low < centre * 1.01
        assert band.high > centre * 0.99
    assert "10.0 ms" in each.says


def test_the_session_shows_every_extreme_in_the_order_of_time(maker):
    for stall in (False, True):
        run = maker.solo(n=5000, started_unix_ns=100 * len(maker.runs) * SECOND, duration_ns=90 * SECOND)
        if stall:
            walls = list(run.result.arms["a"].wall_ns)
            walls[4321] = 400 * MS
            arm = run.result.arms["a"].model_copy(update={"wall_ns": tuple(walls)})
            maker.runs[-1] = run.model_copy(update={"result": run.result.model_copy(update={"arms": {"a": arm}})})
    each = found(maker.trial())["session"]
    (line,) = (line for line in chart(each).lines if line.group == "candidate")
    known = [x for x in line.x if not math.isnan(x)]
    assert known == sorted(known)
    assert "10,000 timed inferences" in each.says
    assert "so no extreme is lost" in each.says
    (beyond,) = [mark for mark in chart(each).marks if mark.beyond]
    assert beyond.text == "run 1, candidate, inference 4322: 400 ms"
    assert "1 lie above" in each.says


def test_a_short_session_is_drawn_whole(maker):
    each = found(maker.solos(3, n=64).trial())["session"]
    (line,) = (line for line in chart(each).lines if line.group == "candidate")
    assert sum(not math.isnan(y) for y in line.y) == 3 * 64
    assert "are drawn" not in each.says


def state(at, celsius, mhz):
    temperatures = {f"zone{i}": celsius + i for i in range(9)} if celsius else {}
    clocks = {"policy0": mhz * 1000} if mhz else {}
    return DeviceState(unix_ns=at * SECOND, temperatures_c=temperatures, frequencies_khz=clocks)


def test_temperature_and_clocks_are_on_the_time_axis_of_the_latencies(maker):
    trial = maker.solos(3).trial(before=state(1, 40, 2400), after=state(90, 70, 1500), finished_unix_ns=91 * SECOND)
    each, session = found(trial)["conditions"], found(trial)["session"]
    heat, clock = each.charts
    assert heat.x == clock.x == chart(session).x
    assert heat.link == clock.link == chart(session).link == "session"
    assert len(heat.lines) == 6
    assert "temperatures of 3 sensors" in each.says
    assert len(each.rows) == 10
    assert ("policy0", "2", "2.400 GHz", "1.500 GHz", "2.400 GHz", "1.500 GHz") in each.rows
    assert clock.lines[0].group.endswith(" sparse")  # nobody knows what was between two readings


def test_a_device_without_a_thermometer_says_so(maker):
    each = found(maker.solos(3).trial(before=state(1, 0, 2400), after=None))["conditions"]
    assert len(each.charts) == 1
    assert "The device told no temperature." in each.says


def energy(maker, watts=(1, 5, 1), seconds=2, tick=0.1, wraps_at=None):
    """A run whose counter, in uJ, rises by ``watts`` in each of three windows."""
    steps = int(seconds / tick)
    total, t, samples = 0, 0, [EnergySample(t_ns=0, values=(0,))]
    for power in watts:
        for _ in range(steps):
            t += int(tick * 1e9)
            total += int(power * tick * 1e6)
            samples.append(EnergySample(t_ns=t, values=(total % wraps_at if wraps_at else total,)))
    edges = [int(i * seconds * 1e9) for i in range(4)]
    windows = dict(zip(("idle_before", "burst", "idle_after"), itertools.pairwise(edges), strict=True))
    found = EnergyWindows(counters=("m",), inferences=10, samples=tuple(samples), **windows)
    maker.run("energy", {"a": "candidate"}, maker.result(energy=found))


@pytest.mark.parametrize("wraps_at", [None, 3_000_000])
def test_power_is_drawn_with_the_integrated_window_shaded(maker, wraps_at):
    energy(maker, wraps_at=wraps_at)
    meter = MeterInfo(id="m", kind="counter", scope="board", path="/sys/m", wraps_at=wraps_at)
    each = found(maker.solos(3).trial(meter=meter))["power"]
    assert max(chart(each).lines[0].y) == pytest.approx(5)
    assert [(b.group, round(b.high - b.low)) for b in chart(each).bands] == [("idle", 2), ("burst", 2), ("idle", 2)]
    assert each.rows[1] == ("3", "candidate", "burst", "2.00", "5 W", "5 W") or each.rows[1][2:] == (
        "burst",
        "2.00",
        "5 W",
        "5 W",
    )
    assert "m (counter, board)" in each.says


def test_without_a_meter_it_says_what_the_trial_says(maker):
    each = found(maker.solos(3).trial(unmeasured={"energy": "the counter is for root alone"}))["power"]
    assert each.absent == "the counter is for root alone"


def points(values, likeness="one"):
    return [
        Point(f"t{i}", i * SECOND, v, v * 0.99, v * 1.01, 5, "ns", likeness, "pi", "net", "t", "", f"c{i}", "PASS")
        for i, v in enumerate(values)
    ]


def noisy(level, n, seed=3):
    return [level * (1 + 0.004 * x) for x in np.random.default_rng(seed).standard_normal(n)]


def test_the_history_shows_where_the_level_changed(maker):
    each = found(maker.solos(3).trial(), Past(tuple(points(noisy(10 * MS, 15) + noisy(12 * MS, 15)))))["history"]
    (rule,) = chart(each).rules
    assert (rule.group, rule.at) == ("change", 15.5)
    assert "another one, by +20." in each.says
    assert "Advisory" in each.says
    assert [row[5] for row in each.rows].count("new level") == 1


def test_no_level_is_looked_for_across_unlike_trials(maker):
    past = Past(tuple(points(noisy(10 * MS, 15)) + points(noisy(12 * MS, 15), "other")))
    each = found(maker.solos(3).trial(), past)["history"]
    assert [rule.group for rule in chart(each).rules] == ["unlike"]
    assert "not comparable" in each.says


@pytest.mark.parametrize(
    ("past", "said"),
    [
        (None, "no history"),
        (Past(), "no earlier"),
        (Past(tuple(points([1.0]))), "only one"),
        (Past(problem="locked"), "locked"),
    ],
)
def test_without_a_history_it_says_why(maker, past, said):
    assert said in found(maker.solos(3).trial(), past)["history"].absent


def variant(maker, digest, latency, size, accuracy):
    maker.runs = []
    trial = maker.solos(3, latency).trial(baseline=False)
    changes = {
        "digest": digest * 64,
        "name": digest,
        "size_bytes": size,
        "accuracy": {"top1": accuracy} if accuracy else {},
    }
    trial = trial.model_copy(update={"bundles": {"candidate": trial.bundles["candidate"].model_copy(update=changes)}})
    return Judgement(judge(trial, Budgets.model_validate({"size": "1 GB"})), trial)


def test_the_front_is_what_nothing_beats(maker):
    made = [
        variant(maker, "a", 10 * MS, 10_000_000, 0.90),
        variant(maker, "b", 5 * MS, 5_000_000, 0.80),
        variant(maker, "c", 12 * MS, 2_000_000, 0.85),  # slower and worse than a
    ]
    each = variants(made)
    assert [(row[0][0], row[5]) for row in each.rows] == [("a", "yes"), ("b", "yes"), ("c", "no")]
    (front,) = chart(each).lines
    assert front.y == [0.80, 0.90]
    assert [mark.group for mark in chart(each).marks] == ["candidate size4", "candidate size2", "candidate size1"]


def test_without_accuracies_it_is_latency_against_size(maker):
    each = variants([variant(maker, "a", 10 * MS, 10_000_000, None), variant(maker, "b", 5 * MS, 5_000_000, 0.8)])
    assert chart(each).y.unit == "bytes"
    assert "No accuracy is stated for all" in each.says


def test_one_bundle_alone_is_no_comparison(maker):
    assert "fewer than two" in variants([variant(maker, "a", 10 * MS, 10, 0.9)]).absent
