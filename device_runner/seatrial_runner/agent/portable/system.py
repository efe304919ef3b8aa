"""The whole machine's memory: what a process of its own does not show, such as buffers of a GPU that shares it."""

from __future__ import annotations

import threading
import time

from .machine import proc_bytes

_PERIOD_S = 0.01


class SystemMemory:
    """Watches MemTotal - MemAvailable from its making on, until the process ends."""

    def __init__(self) -> None:
        self.base = self.peak = used()
        if self.base is not None:
            threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self._note()
            time.sleep(_PERIOD_S)

    def _note(self) -> None:
        now = used()
        if now is not None and self.peak is not None:
            self.peak = max(self.peak, now)

    def delta(self) -> int | None:
        """Return how far it rose above what it was before; None when that is not known."""
        self._note()
        return None if self.base is None or self.peak is None else self.peak - self.base


def used() -> int | None:
    """Return the machine's memory in use, in bytes; None where /proc/meminfo does not tell it."""
    total, available = proc_bytes("/proc/meminfo", "MemTotal:"), proc_bytes("/proc/meminfo", "MemAvailable:")
    return None if total is None or available is None else total - available


def cgroup_peak() -> int | None:
    """Return the peak of the control group (version 2) that we run in; None where there is none."""
    try:
        with open("/proc/self/cgroup") as file:
            groups = [line.strip()[3:] for line in file if line.startswith("0::")]
        with open(f"/sys/fs/cgroup{groups[0]}/memory.peak") as file:
            return int(file.read())
    except (OSError, ValueError, IndexError):
        return None
