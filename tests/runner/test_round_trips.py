"""How often the device is asked: at most three round trips per run beside the run itself, over the real sshd."""

from __future__ import annotations

from typing import Any

import pytest

from runner.conftest import MakeBundle
from seatrial_runner.plan import Plan
from seatrial_runner.records import RunKind
from seatrial_runner.transport.ssh import SshTransport
from seatrial_runner.trial import TrialRunner, open_trial
from seatrial_targets.inventory import Device

BESIDE = 3
QUICK = Plan(
    solo_runs=1, memory_runs=1, cold_runs=1, profile_runs=1, solo_iterations=8, duet_iterations=4,
    warmup_iterations=1, warmup_min_ns=1_000_000, sustained_ns=100_000_000,
).but(warmup_max_ns=50_000_000, duet_warmup_max_ns=50_000_000)  # fmt: skip


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that went over the wire so far: each is one round trip."""
    seen: list[str] = []
    real = SshTransport._exchange

    def counted(self: SshTransport, command: str, *rest: Any, **named: Any) -> str:
        seen.append(command)
        return real(self, command, *rest, **named)

    monkeypatch.setattr(SshTransport, "_exchange", counted)
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
