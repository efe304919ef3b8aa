"""Modes sustained, profile, evaluate, evict, and energy without a counter: the same of both agents."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from seatrial_runner.job import Job
from seatrial_runner.records import AgentResult

from .conftest import TOKEN, Case

Run = Callable[[Job], AgentResult]


def ok(result: AgentResult) -> AgentResult:
    assert result.error is None, result.error
    return result


def test_sustained_keeps_one_of_so_many_and_says_when(run: Run, case: Case) -> None:
    job = case.job(case.doubling(), mode="sustained", max_ns=300_000_000, stride=7, iterations=100_000)
    result = ok(run(job))
    arm = result.arms["a"]
    assert arm.stride == 7
    assert arm.inferences is not None
    assert len(arm.wall_ns) == len(arm.cpu_ns) == len(arm.at_ns) == -(-arm.inferences // 7)
    assert list(arm.at_ns) == sorted(arm.at_ns)
    assert 0.2e9 < arm.at_ns[-1] - arm.at_ns[0] < 0.3e9
    assert result.sensors is None


def test_sustained_keeps_no_more_than_asked_for(run: Run, case: Case) -> None:
    arm = ok(run(case.job(case.doubling(), mode="sustained", max_ns=50_000_000, iterations=9))).arms["a"]
    assert len(arm.wall_ns) == 9
    assert (arm.inferences or 0) > 9


def test_sustained_reads_sensors_meanwhile(run: Run, case: Case) -> None:
    (case.folder / "temp").write_text("48312\n")
    (case.folder / "clock").write_text("1500000\n")
    sensors = {"temperature:cpu": str(case.folder / "temp"), "frequency:policy0": str(case.folder / "clock")}
    job = case.job(case.doubling(), mode="sustained", max_ns=200_000_000, counters=sensors, sample_period_ns=20_000_000)
    trace = ok(run(job)).sensors
    assert trace is not None
    assert trace.sensors == tuple(sensors)
    assert {sample.values for sample in trace.samples} == {(48312, 1500000)}
    assert len(trace.samples) >= 6
    assert trace.samples[-1].t_ns - trace.samples[0].t_ns >= 200_000_000


def test_the_profile_names_operators_their_provider_and_their_time(run: Run, case: Case) -> None:
    arm = case.doubling(times=3)
    result = ok(run(case.job(arm, mode="profile", iterations=4)))
    events = [json.loads(line.rstrip(",")) for line in result.profile]
    kernels = [event for event in events if event["name"].endswith("_kernel_time")]
    assert {event["args"]["provider"] for event in kernels} == {"CPUExecutionProvider"}
    assert "Add" in {event["args"]["op_name"] for event in kernels}
    assert len([event for event in events if event["name"] == "model_run"]) >= 4
    assert result.arms["a"].inferences == 4
    assert result.arms["a"].wall_ns == ()
    assert list(case.folder.glob("*profile*")) == []


def test_evaluation_runs_every_sample(run: Run, case: Case) -> None:
    samples = np.arange(12, dtype=np.float32).reshape(3, 1, 4)
    (case.folder / "in").write_bytes(samples.tobytes())
    arm = dataclasses.replace(case.doubling(), feeds=("in",), fetches=("out",))
    result = ok(run(case.job(arm, mode="evaluate", samples=3)))
    out = np.frombuffer((case.folder / "out").read_bytes(), np.float32)
    np.testing.assert_array_equal(out, 2 * samples.ravel())
    assert len(result.arms["a"].wall_ns) == 3
    assert result.arms["a"].checks[0].ok  # the golden outputs first, as always
    assert (case.folder / "out").stat().st_mode & 0o777 == 0o600


def test_evicted_files_are_no_longer_in_memory(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(3_000_000))
    (tmp_path / "empty").touch()
    result = ok(run(Job(token=TOKEN, mode="evict", evict=("file", "empty"))))
    assert result.evicted is not None
    assert result.evicted.bytes == 3_000_000
    if result.evicted.resident:
        pytest.skip("this file system keeps its files in memory")
    (tmp_path / "file").read_bytes()
    again = ok(run(Job(token=TOKEN, mode="evict", evict=("file",)))).evicted
    assert again is not None
    assert again.resident == 0


def test_energy_without_a_counter_has_windows_alone(run: Run, case: Case) -> None:
    energy = ok(run(case.job(case.doubling(), mode="energy", window_ns=30_000_000))).energy
    assert energy is not None
    assert energy.counters == energy.samples == ()
    assert energy.inferences > 0
    assert energy.burst[1] - energy.burst[0] >= 30_000_000


def test_the_way_to_the_first_output_is_timed_from_the_first_line(run: Run, case: Case) -> None:
    result = ok(run(case.job(case.doubling())))
    assert result.first_output_ns is not None
    assert result.dlopen_ns is not None
    arm = result.arms["a"]
    assert result.first_output_ns >= result.dlopen_ns + arm.session_ns + arm.first_ns
    assert result.cpu_total_ns
    assert result.cpu_total_ns > sum(arm.cpu_ns)


def test_memory_is_told_in_every_way_that_the_kernel_knows(run: Run, case: Case) -> None:
    memory = ok(run(case.job(case.doubling(), mode="memory"))).memory
    assert memory is not None
    assert memory.rss
    assert memory.pss
    assert memory.pss <= memory.rss + 4096 * 16
    assert memory.swapped is not None
    assert memory.system_peak_delta is not None
    assert memory.system_peak_delta >= 0
