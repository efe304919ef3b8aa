"""Rows of tables that Markdown and HTML share."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from seatrial_ci.coldstart import ColdStart, cold_start
from seatrial_ci.gate.wording import between, show
from seatrial_ci.stated import accuracy_text, parity_text
from seatrial_ci.summary import BundleFigures, Figure, Summary
from seatrial_runner.records import DeviceState, Trial

MOST_CELLS, MOST_NAME = 1000, 200
INTERVALS = "In brackets: the 95 % interval over all runs, which describes and decides nothing."


@dataclass(frozen=True)
class Row:
    """A label and one cell per bundle."""

    label: str
    cells: tuple[str, ...]


def bundle_rows(summary: Summary) -> list[Row]:
    """Return one row per figure, one cell per bundle; a cell without a number says why."""
    bundles = summary.bundles
    rows = [
        Row("precision", tuple(b.precision for b in bundles)),
        Row("size", tuple(show(b.size_bytes, "bytes") for b in bundles)),
        *(Row(f"latency {p}", tuple(figure(b.latency[p]) for b in bundles)) for p in _percentiles(summary)),
        Row("cold load", tuple(figure(b.cold_load) for b in bundles)),
        Row("peak memory", tuple(figure(b.peak_memory) for b in bundles)),
        Row("net energy per inference", tuple(figure(b.energy) for b in bundles)),
        Row("parity with torch", tuple(parity_text(b.parity) for b in bundles)),
    ]
    accuracies = Row("accuracy", tuple(accuracy_text(b.accuracy) for b in bundles))
    return [*rows, accuracies] if any(b.accuracy for b in bundles) else rows


def figure_rows(summary: Summary, trial: Trial) -> list[Row]:
    """Return the rows of `bundle_rows`, and of memory in parts and cold starts where there were any."""
    starts = [cold_start(trial, bundle.role) for bundle in summary.bundles]
    memories = tuple(_memory(trial, bundle.role) for bundle in summary.bundles)
    parts = [Row("memory, each figure", memories)] if any(memories) else []
    return [*bundle_rows(summary), *parts, *([Row("cold start", tuple(map(_cold, starts)))] if any(starts) else [])]


def _memory(trial: Trial, bundle: str) -> str:
    """Return each figure of memory by its own name, the median over the memory runs; what was not told is left out."""
    found = [run.result.memory for run in trial.of("memory", bundle) if run.result and run.result.memory]
    measure = found[0].measure if found else ""
    names = {
        "peak_load": f"{measure} while loading",
        "peak_inference": f"{measure} while inferring",
        "rss": "RSS after",
        "pss": "PSS after",
        "swapped": "swapped out",
        "cgroup_peak": "peak of its control group",
        "system_peak_delta": "rise of the whole machine",
    }
    told = {name: [v for one in found if (v := getattr(one, key)) is not None] for key, name in names.items()}
    return ", ".join(f"{name} {show(statistics.median(values), 'bytes')}" for name, values in told.items() if values)


def _cold(found: ColdStart | None) -> str:
    if found is None:
        return "none: no cold run counts"
    parts = {"library": found.library_ns, "model": found.model_ns, "first": found.first_ns, "other": found.other_ns}
    split = ", ".join(f"{name} {show(ns, 'ns')}" for name, ns in parts.items() if ns is not None)
    whole = f"{show(found.total_ns, 'ns')} ({split})" if found.total_ns is not None else split
    return f"{whole}; page cache {found.page_cache}, {found.runs} runs"


def _percentiles(summary: Summary) -> list[str]:
    """p50 and p90, and p99 where it was measured: it needs so many runs that most trials have none."""
    measured = any(b.latency["p99"].value is not None for b in summary.bundles)
    return ["p50", "p90", *(["p99"] if measured else [])]


def heading(bundle: BundleFigures) -> str:
    """Return what stands above a bundle's column."""
    return f"{bundle.name}, {bundle.target} ({bundle.role})"


def figure(found: Figure) -> str:
    """Return '4.31 ms (4.28 to 4.35 ms)', or why there is no number."""
    if found.value is None:
        return f"none: {found.reason}"
    if found.low is None or found.high is None:
        return f"{show(found.value, found.unit)} (1 run)"
    kind = ", within 1 run" if found.within_run else ""
    return f"{show(found.value, found.unit)} ({between(found.low, found.high, found.unit)}{kind})"


@dataclass(frozen=True)
class MatrixCell:
    """The outcome of a model on a device, and the anchor of its evidence; empty where the policy has no such cell."""

    outcome: str = ""
    anchor: str = ""


def matrix(
    parts: Sequence[tuple[str, str, str]],
) -> tuple[tuple[str, ...], list[tuple[str, tuple[MatrixCell, ...]]], str]:
    """Return, of (model, device, outcome) each, the columns, per row its cells, and what was left out. Rows are models
    and columns devices, or, when there are more devices, the other way round. Of a large family those rows that pass
    are left out.
    """
    turned = len({device for _, device, _ in parts}) > len({model for model, _, _ in parts})
    rows: dict[str, dict[str, MatrixCell]] = {}
    for number, (model, device, outcome) in enumerate(parts):
        row, column = (device, model) if turned else (model, device)
        rows.setdefault(row, {})[column] = MatrixCell(outcome, f"cell{number}")
    shown = _most_telling(rows)
    columns = tuple(dict.fromkeys(column for row in shown.values() for column in row))
    hidden = len(rows) - len(shown)
    kind = "devices" if turned else "models"
    said = f"{hidden} more {kind} are not in this table; those that do not pass come first." if hidden else ""
    return (
        tuple(_short(name) for name in columns),
        [(_short(name), tuple(row.get(column, MatrixCell()) for column in columns)) for name, row in shown.items()],
        said,
    )


def _most_telling(rows: dict[str, dict[str, MatrixCell]]) -> dict[str, dict[str, MatrixCell]]:
    """Return as many rows as there is room for, in their order: those with something that does not pass first."""
    room, chosen = MOST_CELLS, set[str]()
    for name in sorted(rows, key=lambda each: all(cell.outcome == "PASS" for cell in rows[each].values())):
        room -= len(rows[name])
        if room < 0 and chosen:
            break
        chosen.add(name)
    return {name: row for name, row in rows.items() if name in chosen}


def _short(name: str) -> str:
    return name if len(name) <= MOST_NAME else f"{name[:MOST_NAME]}…"


def state_rows(trial: Trial) -> list[Row]:
    """Return the device's state, a cell before and a cell after; empty when none was recorded."""
    states = (trial.before, trial.after)
    if states == (None, None):
        return []
    readers: dict[str, Callable[[DeviceState], str]] = {
        "taken": lambda s: instant(s.unix_ns),
        "model": lambda s: s.model,
        "system": lambda s: f"{s.os} {s.kernel}".strip(),
        "governors": lambda s: ", ".join(sorted(set(s.governors.values()))),
        "clocks": lambda s: ", ".join(f"{k} {v / 1000:.0f} MHz" for k, v in sorted(s.frequencies_khz.items())[:8]),
        "temperatures": lambda s: ", ".join(f"{k} {v:.0f} °C" for k, v in sorted(s.temperatures_c.items())[:8]),
        "throttled": lambda s: {None: "not told", True: "yes", False: "no"}[s.throttled],
        "throttled since boot": lambda s: f"{s.throttle_events} times" if s.throttle_events is not None else "",
        "thermal status": lambda s: str(s.thermal_status) if s.thermal_status is not None else "",
        "cooling": lambda s: ", ".join(f"{k} {v}" for k, v in sorted(s.cooling.items()) if v)[:200],
        "battery": _battery,
        "screen": lambda s: {None: "", True: "on", False: "off"}[s.screen_on],
        "idle mode": lambda s: s.idle_mode,
        "load, 1 min": lambda s: f"{s.load_1m:.2f}" if s.load_1m is not None else "",
        "free memory": lambda s: show(s.memory_available, "bytes") if s.memory_available is not None else "",
        "swap used": lambda s: show(s.swap_used, "bytes") if s.swap_used is not None else "",
        "waiting for memory": lambda s: f"{s.memory_pressure:.1f} %" if s.memory_pressure is not None else "",
    }
    rows = [Row(label, tuple(read(s) if s else "not recorded" for s in states)) for label, read in readers.items()]
    return [row for row in rows if any(row.cells)]


def _battery(state: DeviceState) -> str:
    if state.battery_percent is None:
        return state.power_source
    charging = {None: "", True: ", charging", False: ", not charging"}[state.charging]
    heat = f", {state.battery_temperature_c:.0f} °C" if state.battery_temperature_c is not None else ""
    return f"{state.battery_percent:.0f} %{charging}{heat}{f', on {state.power_source}' if state.power_source else ''}"


def instant(unix_ns: int) -> str:
    """Return '2026-11-22 05:16:00 UTC'; the bare number when it is beyond what a calendar has."""
    try:
        return datetime.datetime.fromtimestamp(unix_ns // 10**9, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (ValueError, OverflowError, OSError):
        return f"{unix_ns} ns"
