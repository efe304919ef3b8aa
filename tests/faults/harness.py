"""Run one schedule: a trial, faults, recovery, and then every promise is looked at."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from faults.host import LEASE_S, RUN_S, Host, mark, start
from faults.knob import SLOW
from faults.schedule import Fault, Schedule
from faults.worlds import World
from seatrial_runner.journal import read_journal
from seatrial_runner.records import Run, Trial

# A host must have ended by then, whatever happened: the longest run, its redos, connecting, and a machine that is busy.
DEADLINE_S = 600.0
RECOVERY_S = 900.0
TOGETHER_S = 1.0  # a run that was taken over may be seen beside its successor until the sweep has killed it
GONE_S = 40.0  # within which processes on the device must have ended by themselves
LEASE_MOST_S = LEASE_S + RUN_S + 30 + 60  # what a renewal for a push or a preparation may ask for, at most


@dataclass
class Outcome:
    """What became of a schedule. ``violations`` is empty when every promise was kept."""

    schedule: Schedule
    first: str = ""  # how the first host ended
    seconds: float = 0.0
    recovery_s: float = 0.0
    attempts: int = 0
    runs_here: int = 0  # whose results arrived
    runs_kept: int = 0  # that were on disk
    violations: list[str] = field(default_factory=list)


def play(schedule: Schedule, world: World, bundles: dict[str, Path], folder: Path) -> Outcome:
    """Play a schedule in a world. ``folder`` is fresh, and the host's."""
    outcome, out = Outcome(schedule), folder / "trial.json"
    world.settle()
    host = start(world.device, bundles, out, resume=False, environment=world.environment)
    crowd = Crowd(world)
    others = _inject(schedule, world, bundles, folder, host, crowd)
    for who in (host, *others):
        if not who.wait(who.began + DEADLINE_S, crowd.look):
            outcome.violations.append(f"a host still ran after {DEADLINE_S:.0f} s")
            who.kill()
            who.wait(time.monotonic() + 10)
    outcome.seconds = time.monotonic() - host.began
    outcome.first = _ending(host, outcome)
    world.mend()
    if crowd.longest_s > TOGETHER_S:
        outcome.violations.append(f"two runs at once on the device, for {crowd.longest_s:.1f} s")
    _look_at_what_is_left(world, outcome)
    _recover(world, bundles, out, outcome)
    _look_at_the_end(world, out, outcome)
    return outcome


class Crowd:
    """Looks now and then how many runs the device makes at once, and for how long there were several."""

    def __init__(self, world: World) -> None:
        self.world, self.longest_s = world, 0.0
        self._next = 0.0
        self._since: float | None = None

    def look(self) -> None:
        """Look, if the last look is a while ago. Called from loops: threads and forks do not mix."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 0.1
        if len(self.world.runs()) < 2:
            self._since = None
            return
        self._since = self._since or now
        self.longest_s = max(self.longest_s, now - self._since)


def _inject(
    schedule: Schedule, world: World, bundles: dict[str, Path], folder: Path, host: Host, crowd: Crowd
) -> list[Host]:
    """Break things when their time has come, and mend them when theirs has. Return the other hosts."""
    others: list[Host] = []
    todo: list[tuple[float, Callable[[], None]]] = []

    def another() -> None:
        out = folder / "other.json"
        others.append(start(world.device, bundles, out, resume=False, environment=world.environment))

    def strike(fault: Fault) -> Callable[[], None]:
        at_hosts: dict[str, Callable[[], None]] = {
            "host killed": lambda: host.kill(signal.SIGKILL),
            "host interrupted": lambda: host.kill(signal.SIGINT),
            "two hosts": another,
        }

        def act() -> None:
            mended = world.breaks(fault.kind, schedule.seed)
            todo.append((time.monotonic() + fault.lasts_s, mended))

        return at_hosts.get(fault.kind, act)

    todo += [(host.began + fault.at_s, strike(fault)) for fault in schedule.faults]
    while todo:
        todo.sort(key=lambda item: item[0])
        due, act = todo.pop(0)
        while time.monotonic() < due:
            crowd.look()
            time.sleep(min(0.02, max(0.0, due - time.monotonic())))
        act()
    return others


def _ending(host: Host, outcome: Outcome) -> str:
    told = host.told()
    if not told:
        return "killed"
    message = str(told["message"])
    if told["outcome"] == "defect":
        outcome.violations.append(f"a defect: {message}")
    if any(not (char.isprintable() or char == "\n") for char in message):
        outcome.violations.append(f"a message that is not fit for a terminal: {message!r}")
    return str(told["outcome"])


def _look_at_what_is_left(world: World, outcome: Outcome) -> None:
    """Before anybody comes back: processes end by themselves, and the lease runs out."""
    until = time.monotonic() + GONE_S
    while world.agents() and time.monotonic() < until:
        time.sleep(0.1)
    if left := world.agents():
        outcome.violations.append(f"{len(left)} processes still ran {GONE_S:.0f} s later")
    text = world.shell(f"cat {world.root}/lease 2>/dev/null || true; cut -d. -f1 /proc/uptime").split()
    if len(text) > 1 and "@" in text[1]:
        seconds = int(text[1].partition("@")[0]) - int(text[-1])
        if seconds > LEASE_MOST_S:
            outcome.violations.append(f"the lease has {seconds} s left")


def _recover(world: World, bundles: dict[str, Path], out: Path, outcome: Outcome) -> None:
    """Come back, with --resume where a journal is: within a while it must end well."""
    began = time.monotonic()
    while time.monotonic() - began < RECOVERY_S:
        outcome.attempts += 1
        resume = out.with_name(f"{out.name}.journal").exists()
        finished = not resume and _finished(out)
        if finished and not _left(world):
            break
        # What a fault kept a host from cleaning, as a folder that can't be written to does, the next contact cleans.
        into = out.with_name("next.json") if finished else out
        host = start(world.device, bundles, into, resume=resume, environment=world.environment)
        if not host.wait(time.monotonic() + DEADLINE_S):
            outcome.violations.append("the recovery hung")
            host.kill()
            host.wait(time.monotonic() + 10)
            break
        told = host.told()
        if told.get("outcome") == "ok":
            break
        if told.get("outcome") == "defect":
            outcome.violations.append(f"a defect in recovery: {told['message']}")
            break
        time.sleep(0.5)
    else:
        outcome.violations.append(f"no recovery within {RECOVERY_S:.0f} s: {told}")
    outcome.recovery_s = time.monotonic() - began


def _finished(out: Path) -> bool:
    return out.exists() and Trial.model_validate_json(out.read_bytes()).status == "ok"


def _look_at_the_end(world: World, out: Path, outcome: Outcome) -> None:
    if not _finished(out):
        outcome.violations.append("the trial was never finished")
    _look_for_lost_runs(out, outcome)
    if left := _left(world):
        outcome.violations.append(f"left on the device: {', '.join(left)}")
    blobs = world.shell(f"ls -A {world.root}/blobs 2>/dev/null || true").split()
    if strange := [name for name in blobs if len(name) != 64 and ".part" not in name]:
        outcome.violations.append(f"strange files in the cache: {', '.join(strange)}")
    if world.agents():
        outcome.violations.append("a stray process at the end")
    if (knob := world.shell(f"cat {world.knob}").strip()) != SLOW:
        outcome.violations.append(f"the setting was left at {knob!r}")


def _left(world: World) -> list[str]:
    return sorted(set(world.shell(f"ls -A {world.root} 2>/dev/null || true").split()) - {"blobs"})


def _look_for_lost_runs(out: Path, outcome: Outcome) -> None:
    log = out.with_name(f"{out.name}.log")
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()] if log.exists() else []
    here, kept = ({name for word, name in lines if word == wanted} for wanted in ("here", "kept"))
    outcome.runs_here, outcome.runs_kept = len(here), len(kept)
    found = {mark(run) for run in _all_runs(out)}
    if lost := kept - found:
        outcome.violations.append(f"{len(lost)} runs that were kept are lost")
    if lost := here - found - kept:
        outcome.violations.append(f"{len(lost)} runs that had arrived are lost")


def _all_runs(out: Path) -> list[Run]:
    runs: list[Run] = []
    with contextlib.suppress(OSError, json.JSONDecodeError):
        runs += Trial.model_validate_json(out.read_bytes()).runs
    for journal in out.parent.glob(f"{out.name}.journal*"):
        runs += read_journal(journal).runs
    return runs
