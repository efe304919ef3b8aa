"""What a gate is going to measure, and how long that will take, from what the runs took until now."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from seatrial_ci.gate.relative import METRIC
from seatrial_ci.gate.verdict import Check, Outcome
from seatrial_ci.gate.wording import between, label, show
from seatrial_runner.plan import Plan
from seatrial_runner.records import RunKind, Trial

if TYPE_CHECKING:
    from seatrial_ci.gate.judge import Wanted
    from seatrial_ci.gate.settings import GateSettings

CHEAPER = {"duet": ("solo", 2.0), "memory": ("solo", 1.0)}  # before the first of a kind: as others, so many times


@dataclass(frozen=True)
class Forecast:
    """Seconds until the next look, and until the last one at most; None where no run tells yet."""

    next_s: float | None
    most_s: float | None


def forecast(trial: Trial, wanted: Wanted, settings: GateSettings) -> Forecast:
    """Return how long the wanted runs take, and all that could follow if nothing is decided before the last look."""
    bundles = len(trial.bundles)
    made = len(trial.of("duet")) or len([run for run in trial.of("solo", "candidate") if run.pair is not None])
    solos = len([run for run in trial.of("solo", "candidate") if run.pair is None])
    last = settings.solo_looks[-1]
    runs: dict[RunKind, tuple[int, int]] = {
        "duet": (wanted.duets, settings.looks[-1] - made if wanted.duets else 0),
        "solo": (
            wanted.solos * bundles + 2 * wanted.pairs,
            (last - solos) * bundles * bool(wanted.solos) + 2 * (settings.looks[-1] - made) * bool(wanted.pairs),
        ),
        "memory": (wanted.memories * bundles, (last - len(trial.of("memory", "candidate"))) * bool(wanted.memories)),
        "energy": (wanted.energies * bundles, (last - len(trial.of("energy", "candidate"))) * bool(wanted.energies)),
    }
    return Forecast(*(_seconds(trial, {kind: counts[i] for kind, counts in runs.items()}) for i in (0, 1)))


def plan_text(plan: Plan, bundles: int, settings: GateSettings, compared: bool) -> str:
    """Return the plan of one gate in words."""
    kinds = {"memory": plan.memory_runs, "latency": plan.solo_runs, "energy (where there is a meter)": plan.energy_runs}
    kinds["profile"] = plan.profile_runs
    parts = [f"{count * bundles} {kind}" for kind, count in kinds.items() if count]
    text = f"plan: {', '.join(parts)} runs"
    if compared:
        looks = ", ".join(map(str, settings.looks))
        text += f", then pairs of both bundles until the comparison is decided, with looks at {looks}"
    return text


def look_text(check: Check | None, ahead: Forecast) -> str:
    """Return what a look saw and what comes next, in words; None: there was none yet."""
    if check is None or check.value is None:
        return f"on to the first look{_left(ahead)}"
    bounds = between(check.low, check.high, check.unit)
    said = f"{show(check.value, check.unit)} ({bounds})" if bounds else show(check.value, check.unit)
    count = f"{check.pairs} pairs" if check.pairs is not None else f"{check.runs} runs"
    decided = "not decided" if check.outcome is Outcome.INCONCLUSIVE else check.outcome.value
    return f"look at {count}, {label(check.metric)}: {said}, {decided}; on to the next look{_left(ahead)}"


def open_checks(checks: tuple[Check, ...]) -> Iterator[Check]:
    """Yield the checks that are not decided, the comparison first."""
    found = [check for check in checks if check.outcome is Outcome.INCONCLUSIVE and check.severity == "block"]
    yield from sorted(found, key=lambda check: check.metric != METRIC)


def duration(seconds: float) -> str:
    """Return a time that is only about right: '40 s', '3 min', '1.5 h'."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _left(ahead: Forecast) -> str:
    if ahead.next_s is None or ahead.most_s is None:
        return ""
    most = f", at most {duration(ahead.most_s)}" if ahead.most_s > ahead.next_s * 1.1 else ""
    return f"; about {duration(ahead.next_s)} more to it{most}"


def _seconds(trial: Trial, counts: dict[RunKind, int]) -> float | None:
    each = {kind: _one(trial, kind) for kind, count in counts.items() if count}
    if any(value is None for value in each.values()):
        return None
    return sum(counts[kind] * (seconds or 0.0) for kind, seconds in each.items())


def _one(trial: Trial, kind: RunKind) -> float | None:
    """Seconds of one run of a kind: the median of those made."""
    taken = [run.duration_ns / 1e9 for run in trial.runs if run.kind == kind and run.counts]
    if taken:
        return statistics.median(taken)
    other, times = CHEAPER.get(kind, ("", 0.0))
    taken = [run.duration_ns / 1e9 for run in trial.runs if run.kind == other and run.counts]
    return statistics.median(taken) * times if taken else None
