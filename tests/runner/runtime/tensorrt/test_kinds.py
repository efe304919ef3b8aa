"""Runs other than those for latency and memory, and what goes on beside trtexec meanwhile."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seatrial_runner import lease as leases
from seatrial_runner.meter import Choice, energy_per_inference
from seatrial_runner.plan import Plan
from seatrial_runner.records import AgentResult, Channel, MeterInfo, RunKind
from seatrial_runner.runtime.tensorrt.energy import read_windows
from seatrial_runner.runtime.tensorrt.job import Answer, Place
from seatrial_runner.runtime.tensorrt.profiling import promise, read_profile
from seatrial_runner.runtime.tensorrt.report import Report
from seatrial_runner.runtime.tensorrt.sampling import STOP, during, read_samples, sampler
from seatrial_runner.transport import open_transport
from seatrial_runner.trial import TrialRunner, open_trial
from seatrial_targets.errors import AgentError
from seatrial_targets.inventory import Device

PLAN = Plan(solo_iterations=8, memory_iterations=3, warmup_iterations=1, warmup_min_ns=1_000_000)


def one(runner: TrialRunner, kind: RunKind) -> AgentResult:
    request = runner.session.request(kind, {"a": "candidate"}, runner.plan)
    return runner.session.execute(request)


def test_a_profile(jetson: Device, make_bundle) -> None:
    with open_trial(jetson, {"candidate": make_bundle()}, PLAN) as runner:
        layers = one(runner, "profile").arms["a"].layers
    assert layers is not None
    assert layers.tool == "trtexec"
    by_name = {layer.name: layer.provider for layer in layers.layers}
    assert by_name['the "first" conv'] == "int8"
    assert by_name["quantize"] == "GPU"
    assert layers.fallbacks == ()
    assert sum(layer.ns[0] for layer in layers.layers) > 0


def test_a_layer_in_floating_point_has_fallen_back_unless_the_user_wanted_it() -> None:
    profile = b'[\n  { "count" : 1 }\n, { "name" : "c", "timeMs" : 1, "averageMs" : 1, "percentage" : 50 }\n]\n'
    layers = b'{"Layers": [{"Name": "c", "LayerType": "Convolution", "Inputs": [{"Format/Datatype": "Half"}]}]}'
    assert [each.name for each in read_profile(profile, layers, promise("int8", ())).fallbacks] == ["c"]
    assert read_profile(profile, layers, promise("int8", ("head",))).fallbacks == ()
    assert read_profile(profile, layers, promise("fp16", ())).fallbacks == ()


def test_a_cold_run(jetson: Device, make_bundle) -> None:
    with open_trial(jetson, {"candidate": make_bundle()}, PLAN) as runner:
        arm = one(runner, "cold").arms["a"]
    assert arm.session_ns > 0
    assert arm.first_ns > 0
    assert arm.wall_ns == ()


def test_what_trtexec_can_not_do_the_python_runner_can(jetson: Device, make_bundle) -> None:
    kinds: tuple[RunKind, ...] = ("duet", "sustained", "evaluate")
    with open_trial(jetson, {"candidate": make_bundle()}, PLAN) as runner:
        assert all("`runner: python`" in runner.session.lacks(kind) for kind in kinds)
        assert not any(runner.session.lacks(kind) for kind in ("solo", "memory", "energy", "profile", "cold"))


@pytest.mark.slow
def test_energy_over_three_windows(jetson: Device, make_bundle, tmp_path: Path) -> None:
    """A rail of constant 5 W, and of 2 W in another file: the figure is exact, whatever the inferences take."""
    for name, value in {"volts": 5000, "amperes": 1000, "watts": 2_000_000}.items():
        (tmp_path / name).write_text(f"{value}\n")
    rail = Channel(
        name="VDD_IN", quantity="voltage and current", counters=("v", "a"), scale=1.0,
        paths=(str(tmp_path / "volts"), str(tmp_path / "amperes")),
    )  # fmt: skip
    part = Channel(name="VDD_SOC", quantity="power", counters=("w",), paths=(str(tmp_path / "watts"),), in_total=False)
    meter = MeterInfo(id="fake", kind="averaging", scope="board", channels=(rail, part), rate_hz=20)
    plan = PLAN.but(energy_runs=1, energy_window_ns=1_000_000_000)
    with open_trial(jetson, {"candidate": make_bundle()}, plan) as runner:
        runner.session.meter = Choice(meter)
        result = one(runner, "energy")
    windows = result.energy
    assert windows is not None
    assert windows.counters == ("v", "a", "w")
    assert windows.inferences > 0
    assert windows.idle_before[1] <= windows.burst[0] < windows.burst[1] <= windows.idle_after[0]
    figure = energy_per_inference(windows, meter)
    assert not isinstance(figure, str), figure
    burst_s = (windows.burst[1] - windows.burst[0]) / 1e9
    assert figure.gross_mj == pytest.approx(5000 * burst_s / windows.inferences)
    assert figure.net_mj == pytest.approx(0, abs=1e-6)
    assert figure.idle_mw == pytest.approx(5000)


def test_the_gpus_clock_is_read_while_queries_are_made(jetson: Device, make_bundle, tmp_path: Path) -> None:
    (tmp_path / "cur_freq").write_text("624750000\n")
    plan = PLAN.but(warmup_min_ns=400_000_000)
    with open_trial(jetson, {"candidate": make_bundle()}, plan) as runner:
        equipped = runner.session.equipped["candidate"]
        equipped.builder.identity = replace(equipped.identity, gpu_clock=str(tmp_path / "cur_freq"))
        trace = one(runner, "solo").sensors
    assert trace is not None
    assert trace.sensors == ("frequency:gpu",)
    assert {each.values for each in trace.samples} == {(624_750,)}


TOLD = {"idle": "1.00", "idle_over": "2.00", "began": "2.50", "over": "4.00", "after": "4.50", "after_over": "5.50"}


def test_windows_from_what_was_told() -> None:
    found = read_windows(Answer(TOLD), Report(figures={"throughput_qps": 100.0}), {}, warmup_ms=200)
    assert found.burst == (2_800_000_000, 3_900_000_000)
    assert found.inferences == 110


@pytest.mark.parametrize("name", TOLD)
def test_a_moment_that_was_not_told(name: str) -> None:
    told = {key: value for key, value in TOLD.items() if key != name}
    with pytest.raises(AgentError, match="did not tell when"):
        read_windows(Answer(told), Report(figures={"throughput_qps": 100.0}), {}, 200)


@pytest.mark.parametrize("qps", [0.0, math.inf, math.nan])
def test_a_throughput_that_can_not_be(qps: float) -> None:
    with pytest.raises(AgentError, match="how many"):
        read_windows(Answer(TOLD), Report(figures={"throughput_qps": qps}), {}, 200)


def test_a_burst_without_a_middle() -> None:
    with pytest.raises(AgentError, match="lengthen the energy window"):
        read_windows(Answer(TOLD), Report(figures={"throughput_qps": 100.0}), {}, warmup_ms=2000)


def test_readings() -> None:
    raw = b"1.05 7 -\n1.10 8 -3\nnonsense\n1.1 2 3\n1.20 1\n1.30 x 4\n"
    assert [(each.t_ns, each.values) for each in read_samples(raw, 2)] == [
        (1_050_000_000, (7, None)),
        (1_100_000_000, (8, -3)),
        (1_300_000_000, (None, 4)),
    ]


@given(st.binary(max_size=100), st.integers(1, 3))
def test_any_bytes(raw: bytes, count: int) -> None:
    for each in read_samples(raw, count):
        assert len(each.values) == count


def test_clocks_outside_of_the_inferences_do_not_count() -> None:
    answer = Answer({"began": "2.00", "over": "3.00"}, {"samples": b"1.00 100000\n2.50 900000\n3.50 100000\n"})
    trace = during(answer, {"frequency:gpu": "/x"})
    assert trace is not None
    assert [each.values for each in trace.samples] == [(900,)]
    assert during(Answer({"began": "2.00"}), {"frequency:gpu": "/x"}) is None


@pytest.mark.parametrize("period_s", [0.0073, 0.05])
def test_files_are_read_at_their_pace(jetson: Device, tmp_path: Path, period_s: float) -> None:
    """The fast way needs python3, which this machine has; both stamp with the time since the device's start."""
    (tmp_path / "a file").write_text("7\n")
    body = (
        f"{sampler([str(tmp_path / 'a file'), str(tmp_path / 'none')], period_s)}now; value begin $up; sleep 1\n{STOP}"
    )
    with open_transport(jetson) as transport:
        answer = Place(transport, leases.take(transport)).run(body, "feed", 60)
    samples = read_samples(answer.files["samples"], 2)
    assert len(samples) > 3
    assert {each.values for each in samples} == {(7, None)}
    assert abs(samples[0].t_ns - float(answer.values["begin"]) * 1e9) < 60e9
