"""Modes memory and energy, and how an agent ends."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from seatrial_runner.job import ArmJob, Job
from seatrial_runner.records import AgentResult
from seatrial_runner.runtime.output import parse_result
from seatrial_targets.errors import AgentError

from .conftest import TOKEN, Agent, Case

Run = Callable[[Job], AgentResult]
MB = 1_000_000


def with_weights(case: Case, megabytes: int) -> ArmJob:
    """y = x @ w, where w alone takes ``megabytes``."""
    rows = megabytes * MB // 4 // 1000
    model = case.model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        {"x": (TensorProto.FLOAT, [1, rows])},
        {"y": (TensorProto.FLOAT, [1, 1000])},
        {"w": np.ones((rows, 1000), np.float32)},
        f"weights-{megabytes}",
    )
    x = np.full((1, rows), 1 / rows, np.float32)
    return ArmJob(model, (case.tensor("x", x),), (case.tensor("y", np.ones((1, 1000), np.float32), 1e-4),))


def test_memory_grows_with_the_weights(run: Run, case: Case) -> None:
    small, large = (run(case.job(with_weights(case, size), mode="memory")).memory for size in (4, 84))
    assert small is not None
    assert large is not None
    assert small.baseline_rss
    assert small.peak_load
    assert large.peak_load
    assert small.baseline_rss < small.peak_load
    assert large.peak_load - small.peak_load > 70 * MB
    assert large.pss
    assert large.peak_inference
    assert large.pss <= large.peak_inference


def test_the_peak_of_inference_is_apart_from_that_of_loading(run: Run, case: Case) -> None:
    """Loading holds the file and the weights at once; inference only the weights."""
    memory = run(case.job(with_weights(case, 84), mode="memory")).memory
    assert memory is not None
    if not memory.hwm_reset:
        pytest.skip("this kernel does not let a process reset its peak")
    assert memory.peak_load
    assert memory.peak_inference
    assert memory.peak_inference < memory.peak_load - 40 * MB


def test_memory_mode_times_nothing(run: Run, case: Case) -> None:
    arm = run(case.job(case.doubling(), mode="memory")).arms["a"]
    assert arm.wall_ns == arm.cpu_ns == ()
    assert arm.checks[0].ok


@pytest.fixture
def fake_counter(tmp_path: Path) -> Iterator[Path]:
    """A file that stands in for a sensor: a thread counts in it, with no relation to any energy."""
    path, over = tmp_path / "fake_energy_uj", threading.Event()
    path.write_text("0\n")

    def advance() -> None:
        value = 0
        while not over.wait(0.002):
            value += 1
            partial = path.with_suffix(".new")
            partial.write_text(f"{value}\n")
            partial.replace(path)

    thread = threading.Thread(target=advance)
    thread.start()
    yield path
    over.set()
    thread.join()


def energy_job(case: Case, counters: dict[str, str]) -> Job:
    return case.job(case.doubling(), mode="energy", counters=counters, window_ns=60_000_000, sample_period_ns=5_000_000)


def test_energy_reads_a_fake_counter_over_three_windows(run: Run, case: Case, fake_counter: Path) -> None:
    result = run(energy_job(case, {"fake:0": str(fake_counter)}))
    energy = result.energy
    assert energy is not None, result.error
    assert energy.counters == ("fake:0",)
    assert energy.idle_before[1] == energy.burst[0]
    assert energy.burst[1] == energy.idle_after[0]
    for begin, end in (energy.idle_before, energy.burst, energy.idle_after):
        assert end - begin >= 60_000_000
    assert energy.inferences > 0
    times = [sample.t_ns for sample in energy.samples]
    assert times == sorted(times)
    assert times[0] <= energy.idle_before[0]  # the first window is opened by a reading,
    assert times[-1] >= energy.idle_after[1]  # the last one closed
    values = [sample.values[0] for sample in energy.samples]
    assert all(value is not None for value in values)
    assert values == sorted(values, key=lambda value: value or 0)
    assert len(set(values)) > 3


def test_a_counter_that_goes_away_reads_as_none(agent: Agent, case: Case) -> None:
    counters = {name: str(case.folder / name) for name in ("stays", "goes")}
    for path in counters.values():
        Path(path).write_text("-5")
    job = energy_job(case, counters)
    (case.folder / "job").write_text(job.render())
    process = agent.start(case.folder / "job", cwd=case.folder)
    assert process.stderr is not None
    while b"measuring energy" not in (line := process.stderr.readline()):
        assert line, "the agent ended before it measured"
    Path(counters["goes"]).unlink()
    stdout, _ = process.communicate(timeout=60)
    energy = parse_result(stdout, TOKEN).energy
    assert energy is not None
    assert energy.samples[-1].values == (-5, None)


def long_job(case: Case) -> Path:
    job = case.job(case.doubling(), warmup_iterations=1_000_000, warmup_max_ns=120 * 10**9)
    (case.folder / "job").write_text(job.render())
    return case.folder / "job"


def wait_until_it_runs(process: subprocess.Popen[bytes]) -> None:
    assert process.stderr is not None
    while b"warming up" not in (line := process.stderr.readline()):
        assert line, "the agent ended before it warmed up"


def test_a_killed_agent_gives_no_result(agent: Agent, case: Case) -> None:
    process = agent.start(long_job(case), cwd=case.folder)
    wait_until_it_runs(process)
    process.send_signal(signal.SIGKILL)
    stdout, _ = process.communicate(timeout=60)
    with pytest.raises(AgentError, match="ended before its result was whole"):
        parse_result(stdout, TOKEN)


def test_it_ends_when_nobody_reads_its_output(agent: Agent, case: Case) -> None:
    process = agent.start(long_job(case), cwd=case.folder)
    wait_until_it_runs(process)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) != 0
    process.stderr.close()


def test_it_dies_with_its_parent(agent: Agent, case: Case) -> None:
    """A shell starts the agent, tells its process id, and is killed."""
    script = f"{' '.join(agent.argv)} {long_job(case)} & echo $!; wait"
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=case.folder)
    assert shell.stdout is not None
    assert shell.stderr is not None
    pid = int(shell.stdout.readline())
    wait_until_it_runs(shell)
    watched = os.pidfd_open(pid)
    shell.kill()
    shell.wait(timeout=60)
    poll = select.poll()
    poll.register(watched, 1)
    assert poll.poll(60_000), "the agent outlived its parent"
    os.close(watched)
    shell.stdout.close()
    shell.stderr.close()


def test_it_leaves_no_file_behind(run: Run, case: Case) -> None:
    job = case.job(case.doubling())
    before = {path.name for path in case.folder.iterdir()} | {"job"}
    run(job)
    assert {path.name for path in case.folder.iterdir()} == before
