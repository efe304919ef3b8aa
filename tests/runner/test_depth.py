"""Cold starts, profiles and minutes under load on this machine: real agent, real ONNX Runtime."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seatrial_ci.coldstart import cold_start
from seatrial_runner.condition.pagecache import drop, state_after
from seatrial_runner.plan import Event, Plan
from seatrial_runner.records import Evicted, Trial
from seatrial_runner.runtime.ort_profile import promise, read_profile
from seatrial_runner.ticker import ticking
from seatrial_runner.transport import open_transport
from seatrial_runner.trial import open_trial
from seatrial_targets.inventory import Device
from seatrial_targets.profile import RuntimeSpec

QUICK = Plan(
    solo_runs=1, memory_runs=0, energy_runs=0, solo_iterations=20, warmup_iterations=2, warmup_min_ns=1_000_000
).but(warmup_max_ns=100_000_000)


def bench(device: Device, bundle, plan: Plan, out: Path | None = None) -> Trial:
    with open_trial(device, {"candidate": bundle}, plan, out=out) as runner:
        runner.measure()
    return runner.trial


def test_a_cold_start_is_split_and_says_what_it_found(here: Device, make_bundle, tmp_path: Path):
    trial = bench(here, make_bundle(), QUICK.but(cold_runs=2), tmp_path / "trial.json")
    assert [run.kind for run in trial.runs] == ["cold", "cold", "solo"]
    assert {run.page_cache for run in trial.of("cold")} <= {"evicted", "warm"}  # no leave to drop what is others'
    found = cold_start(trial, "candidate")
    assert found is not None
    assert found.total_ns >= found.library_ns + found.model_ns + found.first_ns
    assert found.library_ns > 0
    assert found.warm_ns < found.first_ns + found.model_ns
    assert found.other_ns >= 0
    assert cold_start(trial, "baseline") is None
    assert Trial.model_validate_json((tmp_path / "trial.json").read_bytes()) == trial


def test_a_profile_tells_each_operator_of_the_graph(here: Device, make_bundle):
    trial = bench(here, make_bundle(depth=3), QUICK.but(profile_runs=1))
    (run,) = trial.of("profile")
    profile = run.result.arms["a"].layers
    assert [layer.op for layer in profile.layers] == ["MatMul"] * 3
    assert {layer.provider for layer in profile.layers} == {"CPUExecutionProvider"}
    assert [len(layer.ns) for layer in profile.layers] == [20] * 3
    assert len(profile.inference_ns) == 20
    assert profile.promised == ("CPUExecutionProvider",)
    assert profile.fallbacks == ()
    for index in range(20):
        assert sum(layer.ns[index] for layer in profile.layers) <= profile.inference_ns[index] + 3000  # us, rounded
    assert run.result.profile == ()


def test_a_sustained_run_keeps_as_many_as_the_plan_wants(here: Device, make_bundle):
    events: list[Event] = []
    plan = QUICK.but(sustained_ns=1_000_000_000, sustained_samples=100)
    with open_trial(here, {"candidate": make_bundle()}, plan, on_event=events.append) as runner:
        runner.measure()
        runner.sustained()  # made already
    (run,) = runner.trial.of("sustained")
    arm = run.result.arms["a"]
    assert arm.stride > 1
    assert 20 < len(arm.wall_ns) <= 100
    assert arm.at_ns[-1] - arm.at_ns[0] < 1_000_000_000
    assert run.before is not None
    assert run.after is not None


def test_progress_of_a_long_run_is_that_of_the_clock():
    events: list[Event] = []
    with ticking(events.append, "sustained run", 20, period_s=0.01):
        while len(events) < 3:
            pass
    assert {(e.stage, e.total, e.unit) for e in events} == {("sustained run", 20, "seconds")}
    seen = len(events)
    with ticking(events.append, "short", 1, period_s=0.0001):
        pass
    assert len(events) == seen


@pytest.mark.parametrize(
    ("dropped", "evicted", "state"),
    [
        (True, None, "dropped"),
        (False, Evicted(bytes=1000, resident=0), "evicted"),
        (False, Evicted(bytes=1000, resident=500), "warm"),
        (False, Evicted(bytes=0, resident=0), "warm"),
        (False, None, "warm"),
    ],
)
def test_what_a_start_finds(dropped: bool, evicted: Evicted | None, state: str):
    assert state_after(dropped, evicted) == state


def test_the_page_cache_is_dropped_only_with_leave(here: Device):
    with open_transport(here) as transport:
        assert drop(transport, None) is False


def kernel(name: str, ts: int, dur: int, op: str = "Conv", provider: str = "CPUExecutionProvider") -> str:
    arguments = {"op_name": op, "provider": provider, "node_index": name}
    return json.dumps({"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": arguments}) + ","


def run_event(ts: int, dur: int) -> str:
    return json.dumps({"cat": "Session", "name": "model_run", "ts": ts, "dur": dur, "args": {}}) + ","


def test_only_the_last_inferences_count_and_loops_add_up():
    lines = [
        run_event(0, 90), kernel("a", 10, 50),  # the warm-up
        run_event(100, 90), kernel("a", 110, 20), kernel("b", 140, 5, "If"), kernel("b", 150, 6, "If"),
        run_event(200, 90), kernel("a", 210, 30), kernel("b", 250, 7, "If"),
        kernel("late", 900, 1),
    ]  # fmt: skip
    profile = read_profile(lines[::-1], 2, ("QNNExecutionProvider",))
    assert [(layer.name, layer.op, layer.ns) for layer in profile.layers] == [
        ("a", "Conv", (20_000, 30_000)),
        ("b", "If", (11_000, 7_000)),
    ]
    assert profile.inference_ns == (90_000, 90_000)
    assert len(profile.fallbacks) == 2  # promised was another unit


def test_what_falls_back_is_told_by_its_provider():
    lines = [run_event(0, 100), kernel("a", 1, 9, "Fused", "XnnpackExecutionProvider"), kernel("b", 20, 1, "Gelu")]
    profile = read_profile(lines, 1, promise(RuntimeSpec(name="onnxruntime", providers=("XnnpackExecutionProvider",))))
    assert [layer.op for layer in profile.fallbacks] == ["Gelu"]


@pytest.mark.parametrize(
    ("providers", "promised"),
    [
        ((), ("CPUExecutionProvider",)),
        (("CPUExecutionProvider",), ("CPUExecutionProvider",)),
        (("QNNExecutionProvider", "CPUExecutionProvider"), ("QNNExecutionProvider",)),
    ],
)
def test_the_cpu_is_no_promise_beside_another(providers: tuple[str, ...], promised: tuple[str, ...]):
    assert promise(RuntimeSpec(name="onnxruntime", providers=providers)) == promised


@pytest.mark.parametrize(
    "line",
    ["", "[", "nonsense", "[1]", "{}", '{"ts": "x", "dur": 1, "name": "model_run"}', "[" * 9999, "null"],
)
def test_hostile_lines_are_left_out(line: str):
    assert read_profile([line, run_event(0, 10)], 1, ()).inference_ns == (10_000,)
