"""Seconds and peak memory of a stretch of work in this process."""

from __future__ import annotations

import contextlib
import resource
import time
from pathlib import Path
from types import TracebackType

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Usage:
    """Context: ``seconds`` and ``peak_memory_bytes`` (resident) of what runs inside it.

    Linux can forget its high-water mark (write 5 to /proc/self/clear_refs: proc_pid_clear_refs(5)); where that is not
    possible the peak is that of the whole process so far, an upper bound.
    """

    seconds = 0.0
    peak_memory_bytes = 0

    def __enter__(self) -> Usage:
        self._start = time.monotonic()
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds = time.monotonic() - self._start
        self.peak_memory_bytes = _peak()


def _peak() -> int:
    try:
        line = next(each for each in _STATUS.read_text().splitlines() if each.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
