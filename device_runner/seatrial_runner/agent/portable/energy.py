"""Mode energy: idle, burst, idle, while a thread reads the counters. Raw readings; the host knows what they mean."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .failure import fail, text
from .job import Job
from .stdout import Stdout

_MOST_READINGS = 4_000_000  # of all counters together
_LOOK_S = 0.25


class Energy:
    """The three windows of one run and the readings taken meanwhile."""

    def __init__(self, job: Job, out: Stdout) -> None:
        self.job, self.out = job, out
        self.samples: list[dict[str, Any]] = []
        self.over = threading.Event()
        self.inferences = 0
        for name, path in job.counters:
            try:
                read_counter(path)
            except (OSError, ValueError) as error:
                fail("device_error", f"counter {text(name)}: {text(path)}: {why(error)}")
        self.room = 3 * (job.window_ns // job.sample_period_ns) + 64
        if self.room > _MOST_READINGS // len(job.counters):
            fail(
                "user_error",
                f"{self.room} readings of {len(job.counters)} counters are too many; lengthen the sample period",
            )

    def measure(self, infer: Callable[[], None]) -> dict[str, Any]:
        """Run the windows; return them as `records.EnergyWindows`."""
        thread = threading.Thread(target=self._sample, daemon=True)
        self._take_reading()  # before the first window: its edge has to lie between two readings
        thread.start()
        begin = time.monotonic_ns()
        before = self._idle(begin)
        busy = self._burst(before, infer)
        after = self._idle(busy)
        self.over.set()
        thread.join()
        return {
            "counters": [text(name) for name, _ in self.job.counters],
            "idle_before": [begin, before],
            "burst": [before, busy],
            "idle_after": [busy, after],
            "inferences": self.inferences,
            "samples": self.samples,
        }

    def _sample(self) -> None:
        following = time.monotonic_ns()
        while not self.over.is_set():
            self._take_reading()
            # A slow sensor: no burst of readings to catch up.
            following = max(following + self.job.sample_period_ns, time.monotonic_ns())
            self.over.wait((following - time.monotonic_ns()) / 1e9)
        self._take_reading()

    def _take_reading(self) -> None:
        if len(self.samples) >= self.room:
            return
        t_ns = time.monotonic_ns()
        values: list[int | None] = []
        for _, path in self.job.counters:
            try:
                values.append(read_counter(path))
            except (OSError, ValueError):
                values.append(None)
        self.samples.append({"t_ns": t_ns, "values": values})

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


def read_counter(path: bytes) -> int:
    """Return the one integer that the file holds; opened anew each time, since some drivers only refresh on open."""
    with open(path, "rb", buffering=0) as file:
        value = int(file.read(63))
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or "does not hold one integer"
