"""A host that measures, in a process of its own: forked, since it is going to be killed, and there are a thousand."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.knob import Knob
from seatrial_runner import attempts
from seatrial_runner import lease as leases
from seatrial_runner.bundle import Bundle
from seatrial_runner.condition import units
from seatrial_runner.plan import Plan
from seatrial_runner.records import Run
from seatrial_runner.trial import open_trial
from seatrial_targets.errors import SeatrialError
from seatrial_targets.inventory import Device

LEASE_S, RUN_S = 5, 8  # so that a lease that was left behind expires within seconds
PLAN = Plan(
    solo_runs=3, memory_runs=1, energy_runs=0, solo_iterations=40, duet_iterations=8, memory_iterations=3,
    warmup_iterations=2, warmup_min_ns=50_000_000, run_seconds=RUN_S,
).but(warmup_max_ns=60_000_000, duet_warmup_max_ns=60_000_000)  # fmt: skip
PAIRS = 3


@dataclass
class Host:
    """A running or ended host: its process, and the file in which it says what became of it."""

    pid: int
    said: Path
    began: float

    def ended(self) -> bool:
        """Return whether it has; reaps it."""
        if self.pid and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.pid = 0
        return not self.pid

    def wait(self, until: float, look: Callable[[], None] = lambda: None) -> bool:
        """Wait until the monotonic time ``until``, calling ``look`` meanwhile. Return whether it ended."""
        while not self.ended():
            look()
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, if it still runs."""
        if self.pid and not self.ended():
            os.kill(self.pid, number)

    def told(self) -> dict[str, Any]:
        """Return what it said of its end: {} when it was killed."""
        return dict(json.loads(self.said.read_text())) if self.said.exists() else {}


def start(device: Device, bundles: dict[str, Path], out: Path, *, resume: bool, environment: dict[str, str]) -> Host:
    """Fork a host that makes the whole trial. Its log of runs is ``out``.log, what became of it ``out``.said."""
    said = out.with_name(f"{out.name}.said")
    said.unlink(missing_ok=True)
    pid = os.fork()
    if pid:
        return Host(pid, said, time.monotonic())
    status = 1
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.update(environment)
        _quieten(out)
        said.write_text(json.dumps(_measure(device, bundles, out, resume)))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _quieten(out: Path) -> None:
    with out.with_name(f"{out.name}.err").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdout = sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def _measure(device: Device, bundles: dict[str, Path], out: Path, resume: bool) -> dict[str, Any]:
    leases.take.__defaults__ = (LEASE_S,)
    units.TABLE["knob"] = f"{Knob.__module__}:Knob"
    _log_runs(out.with_name(f"{out.name}.log"))
    opened = {name: Bundle.open(path) for name, path in bundles.items()}
    try:
        with open_trial(device, opened, PLAN, out=out, resume=resume) as runner:  # type: ignore[arg-type]
            runner.measure()
            runner.pairs(PAIRS)
    except SeatrialError as error:
        return {"outcome": type(error).__name__, "message": str(error)}
    except KeyboardInterrupt:  # outside of the trial: the program's own affair
        return {"outcome": "interrupted", "message": ""}
    except Exception as error:
        traceback.print_exc()
        return {"outcome": "defect", "message": f"{type(error).__name__}: {error}"}
    return {"outcome": "ok", "message": ""}


def _log_runs(path: Path) -> None:
    """Write down each run when its result is here, and again when it is kept; each line is on disk at once."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    whole = attempts.Attempts._observed

    def observed(self: attempts.Attempts, run: Run, before: Any) -> Run:
        os.write(fd, f"here {mark(run)}\n".encode())
        keep = self.keep

        def kept(one: Run) -> None:
            keep(one)
            os.write(fd, f"kept {mark(one)}\n".encode())

        self.keep = kept
        try:
            return whole(self, run, before)
        finally:
            self.keep = keep

    attempts.Attempts._observed = observed  # type: ignore[method-assign]


def mark(run: Run) -> str:
    """Return what tells one run from another: its kind, and times to the ns."""
    arms = run.result.arms if run.result else {}
    return "-".join([run.kind, *(f"{arm.session_ns}-{arm.first_ns}" for arm in arms.values())])
