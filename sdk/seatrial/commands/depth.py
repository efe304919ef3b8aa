"""What a bench measured beyond the table: cold starts, operators, minutes under load."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .screen import Screen

if TYPE_CHECKING:
    from seatrial_runner.records import LayerProfile, Trial

MOST_OPERATORS = 5
PAGE_CACHE = {
    "dropped": "the whole page cache was dropped before",
    "evicted": "the model's and the library's files were evicted from memory before",
    "warm": "warm cache: the files were still in memory",
}


def say_depth(screen: Screen, trial: Trial) -> None:
    """Print a few lines for each bundle of ``trial`` that such runs were made of."""
    for role, info in trial.bundles.items():
        for line in (*_cold(trial, role), *_layers(trial, role), *_sustained(trial, role)):
            screen.line(f"{info.name}, {info.precision}: {line}")


def _cold(trial: Trial, role: str) -> Iterator[str]:
    from seatrial_ci.coldstart import cold_start

    found = cold_start(trial, role)
    if found is None:
        return
    parts = {
        "library": found.library_ns,
        "model": found.model_ns,
        "first inference": found.first_ns,
        "other": found.other_ns,
    }
    split = ", ".join(f"{name} {_ms(ns)}" for name, ns in parts.items() if ns is not None)
    whole = "cold start" if found.total_ns is None else f"cold start {_ms(found.total_ns)}"
    warm = "" if found.warm_ns is None else f"; once warm {_ms(found.warm_ns)}"
    state = PAGE_CACHE.get(found.page_cache, f"page cache {found.page_cache}")
    yield f"{whole} ({split}){warm}; {found.runs} runs, {state}"


def _layers(trial: Trial, role: str) -> Iterator[str]:
    from seatrial_runner.records import agent_arm

    profiles = [agent_arm(run, role).layers for run in trial.of("profile", role)]
    for profile in filter(None, profiles[:1]):
        yield f"time by operator: {_shares(profile)}"
        lost = profile.fallbacks
        if lost:
            units = ", ".join(dict.fromkeys(layer.provider for layer in lost))
            whole = sum(_typical(layer.ns) for layer in profile.layers)
            share = sum(_typical(layer.ns) for layer in lost) / whole if whole else 0.0
            yield (
                f"{len(lost)} of {len(profile.layers)} operators fell back from {' or '.join(profile.promised)} to "
                f"{units}, {share:.0%} of the time: {', '.join(dict.fromkeys(layer.op for layer in lost))}"
            )


def _shares(profile: LayerProfile) -> str:
    by_op: dict[str, float] = {}
    for layer in profile.layers:
        by_op[layer.op] = by_op.get(layer.op, 0.0) + _typical(layer.ns)
    whole = sum(by_op.values()) or 1.0
    top = sorted(by_op.items(), key=lambda item: -item[1])
    shown = [f"{op} {ns / whole:.0%}" for op, ns in top[:MOST_OPERATORS]]
    rest = sum(ns for _, ns in top[MOST_OPERATORS:])
    return ", ".join([*shown, *([f"{len(top) - MOST_OPERATORS} others {rest / whole:.0%}"] if rest else [])])


def _sustained(trial: Trial, role: str) -> Iterator[str]:
    from seatrial_ci.sustained import sustained_figures
    from seatrial_runner.records import agent_arm

    for run in trial.of("sustained", role):
        found = sustained_figures(agent_arm(run, role))
        if isinstance(found, str):
            yield f"sustained: no figures: {found}"
            continue
        slow, steady = found.slow_after_s, _ms(found.steady_ns)
        slowed = "it never slowed down by 5 %" if slow is None else f"slower by 5 % after {slow:.0f} s"
        settled = f"settled at {steady}" if found.steady else f"at {steady}, not yet settled"
        yield (
            f"sustained for {found.seconds / 60:.1f} min: p50 {_ms(found.first_minute_ns)} in the first minute, "
            f"{_ms(found.last_minute_ns)} in the last ({found.change:+.1%}); {slowed}; {settled}"
        )


def _typical(ns: tuple[int, ...]) -> float:
    return float(statistics.median(ns)) if ns else 0.0


def _ms(ns: float) -> str:
    from seatrial_targets.units import format_duration

    return format_duration(ns)
