"""Make one run that counts: wait until the device is fit, run, look again; some times more if it must not count."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from seatrial_targets.errors import AgentError, DeadlineError, SeatrialError, Status, UnfitStateError

from .condition.pagecache import PageCache
from .condition.window import Watch
from .plan import Event, OnEvent, quiet
from .records import AgentResult, DeviceState, PowerTrace, Run
from .run import RunRequest, record
from .ticker import ticking

Execute = Callable[[RunRequest], AgentResult]
UNSEEN = "the device's state after it was not read"


class RunFailedError(SeatrialError):
    """The agent told that the run can't be made, and why: no repetition mends that. ``run`` is its record."""

    def __init__(self, run: Run, device: str) -> None:
        super().__init__(f"{device}: the {run.kind} run of {' and '.join(run.arms.values())} failed: {run.reason}")
        self.run = run

    @property
    def status(self) -> Status:  # type: ignore[override]
        """Whose fault the run's failure is."""
        return self.run.status

    @property
    def exit_code(self) -> int:  # type: ignore[override]
        """2 when the user can mend it, else 3."""
        return 2 if self.run.status == "user_error" else 3


@dataclass
class Attempts:
    """Makes runs through ``execute``; each is kept by ``keep`` as soon as it ended, whatever became of it.

    One that ended well is kept twice, under the same index: the second time with the device's state after it.
    """

    execute: Execute
    watch: Watch
    keep: Callable[[Run], None]
    chill: Callable[[RunRequest], PageCache] = lambda request: "warm"
    power: Callable[[], PowerTrace | None] = lambda: None
    redos: int = 2
    on_event: OnEvent = quiet

    def run(self, index: int, request: Callable[[], RunRequest]) -> Run:
        """Return a run that counts. ``request`` is called anew for each attempt; ``index`` numbers the first.

        A run whose agent died or stuck, and one whose device left its window, are made again, ``redos`` times at most.
        Raises RunFailedError, UnfitStateError, and what the last attempt raised; all attempts are kept.
        """
        for attempt in range(self.redos + 1):
            run = self._once(request(), index + attempt, last=attempt == self.redos)
            if run.status == "ok" and not run.invalid:
                return run
            self.on_event(Event(f"again, for {run.invalid or run.reason}"[:200]))
        raise UnfitStateError(
            f"{self.watch.device}: the {run.kind} run was void {self.redos + 1} times: {run.invalid}; improve its"
            " cooling or power supply, stop what else runs there, or widen the target's window"
        )

    def _once(self, request: RunRequest, index: int, *, last: bool) -> Run:
        before = self.watch.ready()
        page_cache = self.chill(request) if request.kind == "cold" else ""
        started = time.time_ns()
        try:
            with ticking(self.on_event, f"{request.kind} run under way", request.expected_seconds):
                run = record(request, index, started, self.execute(request))
            run = run.model_copy(update={"page_cache": page_cache, "power": self.power()})
            error: SeatrialError | None = None if run.status == "ok" else RunFailedError(run, self.watch.device)
        except (AgentError, DeadlineError) as died:
            # A died agent or a stuck one may be the device's mood: worth another try.
            run, error = record(request, index, started, died), died if last else None
        except SeatrialError as failed:
            run, error = record(request, index, started, failed), failed
        if run.status != "ok":
            self.keep(run)
        elif error is None:
            run = self._observed(run, before)
        if error is not None:
            raise error
        return run

    def _observed(self, run: Run, before: DeviceState) -> Run:
        """Return the run with the device's state around it.

        It is kept before that is read, void as yet: who is killed just now, or loses the link, must not lose the run.
        """
        self.keep(run.model_copy(update={"before": before, "invalid": UNSEEN}))
        seen = self.watch.observed(before, run.result)
        found = {"before": before, "after": seen.after, "others_load": seen.others_load, "invalid": seen.void}
        whole = run.model_copy(update=found)
        self.keep(whole)
        return whole
