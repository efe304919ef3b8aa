"""Mode energy: idle, burst, idle, while the counters are read."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from .job import Job
from .stdout import Stdout
from .trace import Trace

_LOOK_S = 0.25


class Energy:
    """The three windows of one run."""

    def __init__(self, job: Job, out: Stdout) -> None:
        self.job, self.out = job, out
        self.trace = Trace(job, 3 * job.window_ns)
        self.inferences = 0

    def measure(self, infer: Callable[[], None]) -> dict[str, Any]:
        """Run the windows; return them as `records.EnergyWindows`."""
        self.trace.start()
        begin = time.monotonic_ns()
        before = self._idle(begin)
        busy = self._burst(before, infer)
        after = self._idle(busy)
        self.trace.stop()
        return {
            "counters": self.trace.ids,
            "idle_before": [begin, before],
            "burst": [before, busy],
            "idle_after": [busy, after],
            "inferences": self.inferences,
            "samples": self.trace.samples,
        }

    def _idle(self, begin: int) -> int:
        end = begin + self.job.window_ns
        while (left := end - time.monotonic_ns()) > 0:
            time.sleep(min(left / 1e9, _LOOK_S))
            self.out.watch()
        return time.monotonic_ns()

    def _burst(self, begin: int, infer: Callable[[], None]) -> int:
        now = begin
        while now - begin < self.job.window_ns:
            infer()
            self.inferences += 1
            self.out.watch()
            now = time.monotonic_ns()
        return now
