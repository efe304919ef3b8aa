"""What the kernel tells of this process: memory, CPUs, context switches, its own start."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time

from .failure import fail

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> None:
    """A killed runner leaves no agent behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def proc_bytes(path: str, key: str) -> int | None:
    """Return a ``key: N kB`` line of a /proc file in bytes; None where there is none."""
    try:
        with open(path) as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith(key)), None)
    except (OSError, ValueError, IndexError):
        return None


def since_process_start_ns() -> int | None:
    """Field 22 of /proc/self/stat is the start, in ticks (10 ms) of CLOCK_BOOTTIME."""
    try:
        with open("/proc/self/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
    passed = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - ticks * (10**9 // os.sysconf("SC_CLK_TCK"))
    return max(0, passed)


def reset_peak() -> bool:
    """Let VmHWM start anew from the present size (Linux 4.0). False when the kernel refuses."""
    try:
        fd = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            return os.write(fd, b"5") == 1
        finally:
            os.close(fd)
    except OSError:
        return False


def pin(cpus: list[int]) -> None:
    """Called before the library is loaded, so that the threads of its pools inherit it."""
    if not cpus:
        return
    why = "some are not there or not allowed"
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:
        why = error.strerror or why
    if not set(cpus) <= os.sched_getaffinity(0):
        there = os.sysconf("SC_NPROCESSORS_CONF")
        fail("user_error", f"the process can't be pinned to the CPUs asked for ({why}); this device has {there}")


def switches() -> tuple[int, int, int]:
    """Return voluntary and involuntary context switches and major faults so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nvcsw, usage.ru_nivcsw, usage.ru_majflt
