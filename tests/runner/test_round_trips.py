"""How often the device is asked: three round trips per run beside the run at most, over the real sshd and adbd."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peers import lab
from runner.conftest import MakeBundle
from seatrial_runner.deadline import Deadline
from seatrial_runner.meter import Choice
from seatrial_runner.meter.odpm import OdpmMeter
from seatrial_runner.plan import Plan
from seatrial_runner.records import MeterInfo, RunKind
from seatrial_runner.transport import adb
from seatrial_runner.transport.adb import AdbTransport
from seatrial_runner.transport.ssh import SshTransport
from seatrial_runner.trial import TrialRunner, open_trial
from seatrial_targets.inventory import Device

BESIDE = 3
QUICK = Plan(
    solo_runs=1, memory_runs=1, cold_runs=1, profile_runs=1, solo_iterations=8, duet_iterations=4,
    warmup_iterations=1, warmup_min_ns=1_000_000, sustained_ns=100_000_000, energy_window_ns=200_000_000,
).but(warmup_max_ns=50_000_000, duet_warmup_max_ns=50_000_000)  # fmt: skip
RAILS = b"t=12345\nCH0(T=12345)[S1M_VDD_CPU], 5578756\n"


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that went over the wire so far: each is one round trip."""
    seen: list[str] = []

    def count(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def counted(*words: Any, **named: Any) -> Any:
            seen.append(str(words))
            return real(*words, **named)

        monkeypatch.setattr(owner, name, counted)

    count(SshTransport, "_exchange")
    count(AdbTransport, "_exchange")
    count(adb, "_adb")  # what adb does but by a shell: a push, a list of devices
    return seen


@pytest.mark.slow
def test_few_round_trips_per_run(board: Device, make_bundle: MakeBundle, trips: list[str]) -> None:
    bundles = {"candidate": make_bundle("new"), "baseline": make_bundle("old", depth=8)}
    made: dict[RunKind, tuple[int, int]] = {}
    with open_trial(board, bundles, QUICK) as runner:
        steps = {
            "memory": lambda: runner.memory(1), "solo": lambda: runner.solo(1), "cold": lambda: runner.cold(1),
            "profile": lambda: runner.profile(1), "sustained": runner.sustained, "duet": lambda: runner.pairs(4),
        }  # fmt: skip
        for kind, step in steps.items():
            before = len(trips)
            step()
            made[kind] = _runs(runner, kind), len(trips) - before
    assert {kind: runs for kind, (runs, _) in made.items()} == dict.fromkeys(steps, 2) | {"duet": 4}
    assert [(kind, beside) for kind, beside in made.items() if beside[1] > beside[0] * (1 + BESIDE)] == []
    assert made["duet"][1] <= 4 * 2 + 1  # the run, the device's state after it, which is the one before the next


def _runs(runner: TrialRunner, kind: RunKind) -> int:
    return len(runner.so_far().of(kind))


# Each of these is a run, and the device's state before and after it: a state from a while ago is read anew.
ALONE = 3


def test_an_evaluation_takes_no_more_than_any_run(
    board: Device, make_bundle: MakeBundle, trips: list[str], tmp_path: Path
) -> None:
    with open_trial(board, {"candidate": make_bundle()}, QUICK) as runner:
        assert _beside(trips, lambda: evaluate(runner, tmp_path, samples=2000)) <= ALONE


def test_a_meter_that_the_agent_reads_takes_no_round_trip(
    board: Device, make_bundle: MakeBundle, trips: list[str]
) -> None:
    with open_trial(board, {"candidate": make_bundle()}, QUICK) as runner:
        runner.session.meter = Choice(counter())
        assert _beside(trips, lambda: runner.energy(1)) <= ALONE
        assert [run.result.energy.counters for run in runner.so_far().of("energy")] == [("rapl:0",)]


def test_a_meter_that_is_a_program_takes_one(board: Device, make_bundle: MakeBundle, trips: list[str]) -> None:
    with open_trial(board, {"candidate": make_bundle()}, QUICK) as runner:
        runner.session.meter = Choice(rails(runner))
        assert _beside(trips, lambda: runner.energy(1)) <= ALONE + 1
        _require_rails(runner)
        assert not list(Path(runner.session.transport.root).glob("meter.*"))


@pytest.mark.lab
@pytest.mark.slow
def test_it_is_as_few_over_adb(droid: Device, make_bundle: MakeBundle, trips: list[str], tmp_path: Path) -> None:
    there = droid.model_copy(update={"library": lab.library()})
    with open_trial(there, {"candidate": make_bundle(target="android-arm64-fp32")}, QUICK) as runner:
        assert _beside(trips, lambda: evaluate(runner, tmp_path, samples=300)) <= ALONE
        assert _beside(trips, lambda: runner.solo(1)) <= ALONE
        runner.session.meter = Choice(counter())
        assert _beside(trips, lambda: runner.energy(1)) <= ALONE
        runner.session.meter = Choice(rails(runner))
        assert _beside(trips, lambda: runner.energy(2)) <= ALONE + 1
        _require_rails(runner)


def _beside(trips: list[str], make_run: Callable[[], object]) -> int:
    before = len(trips)
    make_run()
    return len(trips) - before


def evaluate(runner: TrialRunner, folder: Path, samples: int) -> None:
    """Let the device run samples whose answers are themselves."""
    x = np.random.default_rng(1).standard_normal((samples, 64), dtype=np.float32)
    (folder / "x").write_bytes(x.tobytes())
    runner.evaluate("candidate", {"x": folder / "x"}, {"y": folder / "y"}, samples, (0, samples))
    assert np.fromfile(folder / "y", np.float32).reshape(samples, 64) == pytest.approx(x, rel=1e-5)


def counter() -> MeterInfo:
    """A meter whose counter is a file that every Linux has, and that stands still."""
    path, resolution = "/proc/sys/kernel/pid_max", "1 uJ per step"
    return MeterInfo(id="rapl:0", kind="counter", scope="a stand-in", path=path, resolution=resolution)


def rails(runner: TrialRunner) -> MeterInfo:
    """A phone's meter, whose file is one of ours on the device."""
    transport, path = runner.session.transport, f"{runner.session.transport.root}/rails"
    transport.run(["sh", "-c", 'cat > "$1"', "sh", path], stdin=RAILS, deadline=Deadline.after(60))
    (meter,) = OdpmMeter().find(["odpm\t/sys/bus/iio/devices/iio:device0/energy_value\tCH0(T=1)[S1M_VDD_CPU], 1"])
    channels = tuple(channel.model_copy(update={"paths": (path,)}) for channel in meter.channels)
    return meter.model_copy(update={"channels": channels})


def _require_rails(runner: TrialRunner) -> None:
    energy = runner.so_far().of("energy")[-1].result.energy
    assert energy is not None
    assert energy.samples[-1].t_ns > energy.idle_after[1]  # it went on until the run was over
    assert {sample.values for sample in energy.samples} == {(5578756,)}


def test_a_session_on_a_device_that_has_everything_takes_a_dozen(
    board: Device, make_bundle: MakeBundle, trips: list[str]
) -> None:
    bundles = {"candidate": make_bundle("new"), "baseline": make_bundle("old", depth=8)}
    counts = []
    for _ in range(2):
        trips.clear()
        with open_trial(board, bundles, QUICK):
            pass
        counts.append(len(trips))
    assert counts[0] <= 14  # asking what is there, small files together, the library by itself
    assert counts[1] <= 11
