"""Whatever a trial file holds, as long as it is one: a verdict, figures and reports, or a UserError; never a crash."""

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from seatrial_ci.gate import GateSettings, judge, runs_wanted
from seatrial_ci.history import History
from seatrial_ci.judgement import Judgement
from seatrial_ci.report import as_json, html, junit, markdown, summary
from seatrial_ci.report import document as as_document
from seatrial_ci.report.exchange import badge, bencher, benchmark_json, openmetrics
from seatrial_ci.report.github import comment
from seatrial_ci.summary import summarise
from seatrial_runner.records import (
    DeviceState,
    EnergySample,
    EnergyWindows,
    LayerProfile,
    LayerTime,
    MeterInfo,
    PowerTrace,
    SensorTrace,
    Trial,
)
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import UserError

SECOND = 1_000_000_000
EVERYTHING = Budgets.model_validate(
    {
        "latency_p50": "18 ms",
        "latency_p90": "18 ms",
        "latency_p99": "18 ms",
        "cold_load": "18 ms",
        "peak_memory": "1 MB",
        "size": "1 MB",
        "energy_per_inference": "1 mJ",
        "parity_sqnr": "1 dB",
        "top1_agreement": "50 %",
        "accuracy": {"top1": 0.5},
    }
)
NUMBERS = st.sampled_from([0, 1, -1, 2, 10**9, 2**53 - 1, 2**62, 0.0, 1e-300, 1e300, float("inf"), float("nan")])
VALUES = (
    NUMBERS
    | st.none()
    | st.booleans()
    | st.text(max_size=4)
    | st.just([])
    | st.just({})
    | st.lists(NUMBERS, max_size=9)
)
WORDS = st.sampled_from(
    [
        "a",
        "b",
        "solo",
        "duet",
        "memory",
        "energy",
        "profile",
        "sustained",
        "candidate",
        "baseline",
        "ok",
        "timeout",
        "Infinity",
    ]
)


@pytest.fixture
def document(maker):
    maker.solos(3, n=16).solos(3, bundle="baseline", n=16)
    for pair in range(2):
        maker.solo(pair=pair, n=16), maker.solo(bundle="baseline", pair=pair, n=16)
    maker.duets(9)
    for _ in range(3):
        maker.memory(1_000_000)
    samples = tuple(EnergySample(t_ns=t * SECOND, values=(v,)) for t, v in enumerate((0, 1000, 9000, 10_000)))
    windows = ((0, SECOND), (SECOND, 2 * SECOND), (2 * SECOND, 3 * SECOND))
    keys = ("idle_before", "burst", "idle_after")
    energy = EnergyWindows(counters=("m",), inferences=10, samples=samples, **dict(zip(keys, windows, strict=True)))
    for _ in range(2):
        maker.run("energy", {"a": "candidate"}, maker.result(energy=energy))
    meter = MeterInfo(id="m", kind="counter", scope="board", path="/sys/m", wraps_at=10**6)
    _traces(maker)
    state = DeviceState(unix_ns=SECOND, temperatures_c={"cpu": 40.0}, frequencies_khz={"policy0": 2_400_000})
    return json.loads(maker.trial(meter=meter, before=state, after=state).model_dump_json(by_alias=True))


def _traces(maker):
    """A run of every kind that brings more than samples: layers, sensors, what a program measured."""
    layer = LayerTime(name="n", op="Conv", provider="CPU", ns=(5, 6))
    profile = LayerProfile(tool="p", promised=("CPU",), layers=(layer, layer))
    readings = tuple(EnergySample(t_ns=t * SECOND, values=(40_000, 2_400_000, t * 10_000)) for t in range(4))
    sensors = SensorTrace(sensors=("temperature:cpu", "frequency:policy0", "m"), samples=readings)
    power = PowerTrace(
        channels=("u",), clock="host", t_ns=(0, SECOND, 2 * SECOND), power_uw=((1.0, None, 3.0),), shift_ns=1
    )
    arm = maker.arm([10, 11, 12, 13]).model_copy(update={"at_ns": (0, 1, 2, 3), "layers": profile})
    for kind in ("profile", "sustained"):
        maker.run(kind, {"a": "candidate"}, maker.result(arms={"a": arm}, sensors=sensors), power=power)


def places(node, path=()):
    yield path
    if isinstance(node, dict | list):
        for key in node if isinstance(node, dict) else range(len(node)):
            yield from places(node[key], (*path, key))


def change(document, path, value):
    node = document
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_trial_is_judged_and_shown(document, data):
    changed = json.loads(json.dumps(document))
    shallow = [path for path in places(changed) if path and "wall_ns" not in path[:-1]]
    for path in data.draw(st.lists(st.sampled_from(shallow), min_size=1, max_size=3, unique=True)):
        with contextlib.suppress(KeyError, TypeError, IndexError):  # an earlier change took the place away
            change(changed, path, data.draw(VALUES | WORDS))
    try:
        trial = Trial.model_validate(changed)
    except ValidationError:
        return
    if "candidate" not in trial.bundles:
        return
    for comparison in ("auto", "separate"):
        _use(trial, GateSettings(comparison=comparison))


def _use(trial, chosen):
    try:
        verdict = judge(trial, EVERYTHING, chosen)
    except UserError:
        return
    runs_wanted(trial, EVERYTHING, chosen)
    summarise(trial)
    for report in (markdown, as_json):
        assert report(verdict, trial)
    for report in (html, junit, summary, as_document, bencher, benchmark_json, openmetrics, badge, comment):
        assert report([Judgement(verdict, trial)])


def test_the_unchanged_trial_is_judged_in_all_its_metrics(document):
    verdict = judge(Trial.model_validate(document), EVERYTHING)
    assert len(verdict.checks) == 11
    assert {check.metric for check in verdict.checks if check.value is None} == {"latency_p90", "latency_p99"}


def test_a_reading_that_lacks_a_counter_is_invalid(document):
    energy = next(run for run in document["runs"] if run["kind"] == "energy")["result"]["energy"]
    energy["samples"][1]["values"] = []
    check = next(c for c in judge(Trial.model_validate(document), EVERYTHING).checks if c.metric.startswith("energy"))
    assert check.outcome == "INVALID"
    assert "lack a counter" in check.message


def test_a_figure_that_is_not_finite_is_invalid(document):
    document["meter"]["uj_per_step"] = "Infinity"
    verdict = judge(Trial.model_validate(document), EVERYTHING)
    check = next(c for c in verdict.checks if c.metric.startswith("energy"))
    assert check.outcome == "INVALID"
    assert summarise(Trial.model_validate(document)).bundles[0].energy.value is None


def test_a_duet_that_began_with_an_arm_it_lacks_is_no_crash(document):
    for run in document["runs"]:
        if run["kind"] == "duet":
            run["arms"] = {"b": "candidate"}
    assert judge(Trial.model_validate(document), EVERYTHING).outcome == "FAIL"


def test_a_history_that_meets_a_full_disk_says_so_and_stays_whole(document, tmp_path):
    """SQLite is told that the disk holds no more pages."""
    from sqlalchemy import event

    from seatrial_targets.errors import HarnessError

    trial = Trial.model_validate(document)
    with History.open(tmp_path / "h.sqlite") as history:
        history.add(trial)
        event.listen(history._engine, "checkout", lambda raw, *_: raw.execute("PRAGMA max_page_count=1"))
        with pytest.raises(HarnessError, match="full"):
            for i in range(50):
                history.add(trial.model_copy(update={"id": f"more-{i}"}))
        assert history.trial(trial.id) == trial
