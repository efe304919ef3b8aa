"""Files with one integer each, read at a steady rate by a thread while the model runs. Raw: the host knows the rest."""

from __future__ import annotations

import threading
import time
from typing import Any

from .failure import fail, text
from .job import Job

_MOST_READINGS = 4_000_000  # of all files together


class Trace:
    """Readings of the job's counters over ``span_ns``; without counters there are none, and nothing is started."""

    def __init__(self, job: Job, span_ns: int) -> None:
        self.job = job
        self.samples: list[dict[str, Any]] = []
        self.over = threading.Event()
        for name, path in job.counters:
            try:
                read_counter(path)
            except (OSError, ValueError) as error:
                fail("device_error", f"counter {text(name)}: {text(path)}: {why(error)}")
        self.room = span_ns // job.sample_period_ns + 64
        if job.counters and self.room > _MOST_READINGS // len(job.counters):
            fail(
                "user_error",
                f"{self.room} readings of {len(job.counters)} counters are too many; lengthen the sample period",
            )
        self.thread = threading.Thread(target=self._sample, daemon=True)

    @property
    def ids(self) -> list[str]:
        """The counters' names, in the order of each reading's values."""
        return [text(name) for name, _ in self.job.counters]

    def start(self) -> None:
        """The first reading is taken at once: the edge of a window has to lie between two."""
        if self.job.counters:
            self._take_reading()
            self.thread.start()

    def stop(self) -> None:
        """Take a last reading and end the thread."""
        if self.job.counters:
            self.over.set()
            self.thread.join()

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


def read_counter(path: bytes) -> int:
    """Return the one integer that the file holds; opened anew each time, since some drivers only refresh on open."""
    with open(path, "rb", buffering=0) as file:
        value = int(file.read(63))
    if not -(2**63) <= value < 2**63:
        raise ValueError
    return value


def why(error: Exception) -> str:
    """Return in words why a counter could not be read."""
    return (isinstance(error, OSError) and error.strerror) or "does not hold one integer"
