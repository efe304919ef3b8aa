"""Each piece of evidence shows what the trial holds, or says why it can't."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from made_trials import MS, SECOND
from seatrial_ci.gate import judge
from seatrial_ci.history import Point
from seatrial_ci.report.chart import Chart
from seatrial_ci.report.evidence import Past, exhibits, variants
from seatrial_ci.report.evidence.watts import from_samples
from seatrial_runner.records import (
    AppleFacts,
    AppleIdentity,
    AppleMoment,
    Channel,
    DeviceState,
    EnergySample,
    EnergyWindows,
    LayerProfile,
    LayerTime,
    MeterInfo,
    Placed,
    PowerTrace,
    SensorTrace,
)
from seatrial_targets.budgets import Budgets


def found(trial, past=None, budgets=None):
    verdict = judge(trial, budgets or Budgets.model_validate({"latency_p50": "1 s"}))
    return {each.key: each for each in exhibits(verdict, trial, past)}


def chart(exhibit, number=0) -> Chart:
    return exhibit.charts[number]


def test_every_exhibit_has_a_chart_and_a_table_or_says_why_not(maker):
    for trial in (maker.trial(), maker.solos(3, bundle="baseline").solos(3).duets(8).trial()):
        for each in [*found(trial).values(), variants([trial])]:
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
    assert "of 3000 pairs are drawn" in each.says + each.reading
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
    assert "10.0 ms" in each.says + each.reading


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
    assert "10,000 timed inferences" in each.says + each.reading
    assert "so no extreme is lost" in each.says + each.reading
    (beyond,) = [mark for mark in chart(each).marks if mark.beyond]
    assert beyond.text == "run 1, candidate, inference 4322: 400 ms"
    assert "1 lies above" in each.says + each.reading


def test_a_short_session_is_drawn_whole(maker):
    each = found(maker.solos(3, n=64).trial())["session"]
    (line,) = (line for line in chart(each).lines if line.group == "candidate")
    assert sum(not math.isnan(y) for y in line.y) == 3 * 64
    assert "are drawn" not in each.says + each.reading


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
    assert "temperatures of 3 sensors" in each.says + each.reading
    assert len(each.rows) == 10
    assert ("policy0", "2", "2.400 GHz", "1.500 GHz", "2.400 GHz", "1.500 GHz") in each.rows
    assert clock.lines[0].group.endswith(" sparse")  # nobody knows what was between two readings


def test_a_device_without_a_thermometer_says_so(maker):
    each = found(maker.solos(3).trial(before=state(1, 0, 2400), after=None))["conditions"]
    assert len(each.charts) == 1
    assert "The device told no temperature." in each.says + each.reading


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
    assert "m (counter, board)" in each.says + each.reading


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
    assert "another one, by +20." in each.says + each.reading
    assert "Advisory" in each.says + each.reading
    assert [row[5] for row in each.rows].count("new level") == 1


def test_no_level_is_looked_for_across_unlike_trials(maker):
    past = Past(tuple(points(noisy(10 * MS, 15)) + points(noisy(12 * MS, 15), "other")))
    each = found(maker.solos(3).trial(), past)["history"]
    assert [rule.group for rule in chart(each).rules] == ["unlike"]
    assert "not comparable" in each.says + each.reading


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
    return trial


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
    assert [mark.name for mark in chart(each).marks] == ["a", "b", "c"]
    assert [mark.group for mark in chart(each).marks] == ["candidate size4", "candidate size2", "candidate size1"]


def test_without_accuracies_it_is_latency_against_size(maker):
    each = variants([variant(maker, "a", 10 * MS, 10_000_000, None), variant(maker, "b", 5 * MS, 5_000_000, 0.8)])
    assert chart(each).y.unit == "bytes"
    assert "No accuracy is stated for all" in each.says + each.reading


def test_one_bundle_alone_is_no_comparison(maker):
    assert "fewer than two" in variants([variant(maker, "a", 10 * MS, 10, 0.9)]).absent


def profiled(maker, bundle="candidate", promised=("CPUExecutionProvider",)):
    made = [
        LayerTime(name=f"/conv{i}", op="Conv", provider="CPUExecutionProvider", ns=(i * 1000, i * 1000, i * 9000))
        for i in range(1, 30)
    ]
    made.append(LayerTime(name="/gather", op="Gather", provider="QNNExecutionProvider", ns=(5000,)))
    profile = LayerProfile(tool="ONNX Runtime", promised=promised, layers=tuple(made))
    arm = maker.arm([1, 2]).model_copy(update={"layers": profile})
    maker.run("profile", {"a": bundle}, maker.result(arms={"a": arm}))


def test_operators_are_bars_of_their_share_and_those_that_fell_back_are_marked(maker):
    profiled(maker)
    each = found(maker.solos(3).trial(baseline=False))["layers"]
    (bars,) = each.charts
    total = sum(range(1, 30)) * 1000 + 5000  # by medians, so that one slow inference decides nothing
    assert [bar.share for bar in bars.bars][:2] == pytest.approx([29_000 / total, 28_000 / total])
    rest = sum(range(1, 10)) * 1000 + 5000  # the ten least: 1 to 9 us, and the gather
    assert (bars.bars[-1].label, bars.bars[-1].value) == ("10 more", f"{rest / total * 100:.1f} % together")
    assert len(each.rows) == 30
    assert (
        "/gather",
        "Gather",
        "candidate",
        "QNNExecutionProvider (not as promised)",
        "1.14 %",
        "5.00 us",
    ) in each.rows
    assert "1 of them not on CPUExecutionProvider (marked)" in each.says + each.reading


def test_a_plan_of_the_runtime_is_called_an_estimate(maker):
    placed = (Placed(name="a", op="conv", unit="Neural Engine", cost=0.75), Placed(name="b", op="cast", unit="CPU"))
    facts = AppleFacts(
        identity=AppleIdentity(model="Mac15,3", os="macOS 15", build="24A1"),
        before=AppleMoment(),
        placement={"a": placed},
    )
    maker.run("solo", {"a": "candidate"}, maker.result(arms={"a": maker.arm([10, 11] * 40)}, apple=facts))
    each = found(maker.trial(baseline=False))["layers"]
    assert "estimate" in each.says + each.reading
    assert each.rows[0] == ("a", "conv", "candidate", "Neural Engine", "100.00 %", "-")


def busy(maker, minutes=3, step=0.05, bundle="candidate"):
    """A run that gets 50 % slower after its first minute, while the device gets hot and its clock falls."""
    begin = 7 * SECOND
    at = [begin + int(i * step * 1e9) for i in range(int(minutes * 60 / step))]
    walls = [10 * MS if t - begin < 60 * SECOND else 15 * MS for t in at]
    arm = maker.arm(walls).model_copy(update={"at_ns": tuple(at), "stride": 4})
    samples = tuple(
        EnergySample(
            t_ns=begin + i * SECOND, values=(40_000 + 100 * i, 2_400_000 if i < 60 else 1_500_000, i * 5_000_000)
        )
        for i in range(minutes * 60)
    )
    sensors = SensorTrace(sensors=("temperature:cpu", "frequency:policy0", "m"), samples=samples)
    maker.run("sustained", {"a": bundle}, maker.result(arms={"a": arm}, sensors=sensors))


def test_a_sustained_run_is_a_curve_with_what_the_device_did_meanwhile(maker):
    busy(maker)
    meter = MeterInfo(id="m", kind="counter", scope="board", path="/sys/m")
    each = found(maker.solos(3).trial(baseline=False, meter=meter))["sustained"]
    latency, heat, clock, watts = each.charts
    assert {one.link for one in each.charts} == {"sustained"}
    assert {one.x for one in each.charts} == {latency.x}
    assert "p50 10.0 ms in the first minute, 15.0 ms in the last of 3.0 (+50.0 %)" in each.says
    assert "slower by 5 % or more from 60 s on; it settled at 15.0 ms" in each.says
    (middle,) = (line for line in latency.lines if line.group == "middle")
    assert (middle.y[0], middle.y[-1]) == (10 * MS, 15 * MS)
    assert "One of 4 inferences was kept." in each.says + each.reading
    assert (min(heat.lines[0].y), max(heat.lines[0].y)) == (40, pytest.approx(57.9))
    assert (max(clock.lines[0].y), min(clock.lines[0].y)) == (2400, 1500)
    assert clock.lines[0].x[clock.lines[0].y.index(1500)] == pytest.approx(1.0, abs=0.1)
    assert set(watts.lines[0].y) == {5.0}
    assert [row[4] for row in each.rows] == ["10.0 ms", "15.0 ms", "15.0 ms"]


def test_a_minute_and_a_half_has_no_first_and_last_minute(maker):
    busy(maker, minutes=1)
    each = found(maker.solos(3).trial(baseline=False))["sustained"]
    assert "has no first and last minute apart" in each.says
    assert each.charts


def test_sensors_of_a_run_are_on_the_time_of_the_session(maker):
    busy(maker)
    trial = maker.solos(3).trial(baseline=False)
    run = trial.runs[0].model_copy(update={"started_unix_ns": 11 * SECOND, "duration_ns": 200 * SECOND})
    trial = trial.model_copy(update={"runs": (run, *trial.runs[1:])})
    heat = found(trial)["conditions"].charts[0]
    assert max(heat.lines[0].x) == pytest.approx(210)  # its last reading is at the end of the run


def rails(quantity, values, **changes):
    """Two rails that count and one that does not, read 40 times in each window."""
    names = [f"{rail}{n}" for rail in "abc" for n in range(len(values) // 3)]
    channels = tuple(
        Channel(
            name=rail,
            quantity=quantity,
            counters=tuple(n for n in names if n[0] == rail),
            paths=tuple(f"/sys/{n}" for n in names if n[0] == rail),
            in_total=rail != "c",
            **changes,
        )
        for rail in "abc"
    )
    samples = tuple(EnergySample(t_ns=i * SECOND // 10, values=tuple(values)) for i in range(120))
    return MeterInfo(id="ina", kind="averaging", scope="board", channels=channels), names, samples


@pytest.mark.parametrize(
    ("quantity", "values", "scale"),
    [("power", (2_000_000, 3_000_000, 9), 1.0), ("voltage and current", (5000, 400, 5000, 600, 1, 1), 1.0)],
)
def test_rails_that_count_are_added_up(quantity, values, scale):
    meter, names, samples = rails(quantity, values, scale=scale)
    assert {watts for _, watts in from_samples(names, samples, meter)} == {5.0}
    assert from_samples(names[1:], samples, meter) == ()
    holes = [sample.model_copy(update={"values": (None, *sample.values[1:])}) for sample in samples]
    assert from_samples(names, holes, meter) == ()


def test_a_program_that_measured_is_drawn_on_the_agents_clock(maker):
    energy(maker)
    power = PowerTrace(
        channels=("usb",),
        clock="host",
        t_ns=tuple(range(0, 6 * SECOND, SECOND // 10)),
        power_uw=((1_000_000.0,) * 60,),
        shift_ns=SECOND // 100,
    )
    maker.runs[-1] = maker.runs[-1].model_copy(update={"power": power})
    meter = MeterInfo(
        id="usb meter", kind="averaging", scope="whole phone", source="host program", doubt="it is far away"
    )
    each = found(maker.solos(3).trial(baseline=False, meter=meter))["power"]
    assert set(chart(each).lines[0].y) == {1.0}
    assert "Its figures are uncertain: it is far away." in each.says + each.reading
    lost = power.model_copy(update={"shift_ns": None, "problem": "no edge was found"})
    maker.runs[0] = maker.runs[0].model_copy(update={"power": lost})
    each = found(maker.trial(baseline=False, meter=meter))["power"]
    assert chart(each).bands == ()
    assert "no edge was found" in each.says + each.reading
    assert each.rows[0][4:] == ("-", "-")
