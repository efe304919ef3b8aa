"""Energy runs by trtexec: idle, burst, idle, while the meter's files are read beside it.

The burst is the part of trtexec's run in which it makes queries back to back, less a margin at both ends; how many
inferences lie in it follows from trtexec's own throughput. Loading and tearing down are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from seatrial_targets.errors import AgentError

from ...records import EnergyWindows
from .job import Answer
from .report import Report
from .sampling import STOP, moment, read_samples, sampler

MARGIN_NS = 100_000_000  # stamps are good to 10 ms; a line is printed when the last query is over and sorted
SPARE_S = 1  # how much longer trtexec runs than the window wants


def energy_body(run: str, files: Mapping[str, str], window_ns: int, period_ns: int) -> str:
    """Return a job: the sampler, idle, ``run`` (see `sampling.listened`), idle. ``files`` are the meter's."""
    idle = f"sleep {window_ns / 1e9:.2f}"
    return "\n".join(
        [
            sampler(list(files.values()), period_ns / 1e9),
            f'sleep .1; now; value idle "$up"; {idle}; now; value idle_over "$up"',
            run,
            f'sleep .3; now; value after "$up"; {idle}; now; value after_over "$up"; sleep .2',
            STOP,
        ]
    )


def duration_s(window_ns: int) -> int:
    """Return how long trtexec is to run so that the window is full, in whole seconds."""
    return math.ceil(window_ns / 1e9) + SPARE_S


def read_windows(answer: Answer, report: Report, files: Mapping[str, str], warmup_ms: int) -> EnergyWindows:
    """Return the windows and the readings. Raises AgentError when a moment or the throughput was not told."""
    names = ("idle", "idle_over", "began", "over", "after", "after_over")
    told = {name: moment(answer, name) for name in names}
    qps = report.figures.get("throughput_qps", 0.0)
    if any(value is None for value in told.values()) or not 0 < qps < 1e9:
        raise AgentError("trtexec did not tell when its inferences began and ended, or how many there were")
    at = {name: value or 0 for name, value in told.items()}
    burst = at["began"] + warmup_ms * 10**6 + MARGIN_NS, at["over"] - MARGIN_NS
    if burst[1] <= burst[0]:
        raise AgentError("trtexec made no inferences for long enough; lengthen the energy window")
    return EnergyWindows(
        counters=tuple(files),
        idle_before=(at["idle"], at["idle_over"]),
        burst=burst,
        idle_after=(at["after"], at["after_over"]),
        inferences=round(qps * (burst[1] - burst[0]) / 1e9),
        samples=read_samples(answer.files.get("samples", b""), len(files)),
    )
