"""A cold start, split: from the program's first line to the first output, and what an inference takes once warm."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from seatrial_runner.records import Run, Trial, agent_arm


@dataclass(frozen=True)
class ColdStart:
    """Medians over the cold runs of a bundle, in ns.

    ``library_ns`` loads the runtime and lets it set itself up, ``model_ns`` makes its session, ``first_ns`` is the
    first inference, ``other_ns`` what else lies before the first output (reading the job and its inputs).
    ``page_cache`` says what the start found: "dropped", "evicted", "warm", or several where runs differ. A GPU's runs
    know their parts, but no whole.
    """

    runs: int
    page_cache: str
    total_ns: float | None
    library_ns: float | None
    model_ns: float
    first_ns: float
    other_ns: float | None
    warm_ns: float | None


def cold_start(trial: Trial, bundle: str) -> ColdStart | None:
    """Return the cold start of ``bundle``; None where no cold run counts."""
    runs = trial.of("cold", bundle)
    if not runs:
        return None
    arms = [agent_arm(run, bundle) for run in runs]
    total = _median([run.result.first_output_ns for run in runs if run.result])
    library = _median([_library(run) for run in runs])
    model = statistics.median(arm.session_ns + (arm.compile_ns or 0) for arm in arms)
    first = statistics.median(arm.first_ns for arm in arms)
    parts = (library or 0) + model + first
    return ColdStart(
        runs=len(runs),
        page_cache=_states(runs),
        total_ns=total,
        library_ns=library,
        model_ns=model,
        first_ns=first,
        other_ns=None if total is None else max(0.0, total - parts),
        warm_ns=_median([statistics.median(arm.wall_ns[len(arm.wall_ns) // 2 :]) for arm in arms if arm.wall_ns]),
    )


def _library(run: Run) -> int | None:
    result = run.result
    return None if result is None or result.dlopen_ns is None else result.dlopen_ns + (result.environment_ns or 0)


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _states(runs: Sequence[Run]) -> str:
    return ", ".join(dict.fromkeys(run.page_cache or "unknown" for run in runs))
