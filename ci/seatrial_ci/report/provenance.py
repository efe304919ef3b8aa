"""Where the numbers come from: device, software, settings, bundles by digest, what was prepared and built, runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from seatrial_ci.gate.wording import show
from seatrial_ci.report.rows import instant
from seatrial_runner.records import AgentResult, Build, Prepared, RunKind, Trial

MOST_TEXT, MOST_ENTRIES = 2000, 150  # characters of one entry; entries
KINDS: tuple[RunKind, ...] = ("solo", "duet", "memory", "energy", "profile", "cold", "sustained", "evaluate")


def provenance(trial: Trial) -> list[tuple[str, str]]:
    """Return a label and a text for everything that a reader needs to make the numbers again; none is empty."""
    rows = [*_session(trial), *_software(trial), *_bundles(trial), *_settings(trial)]
    return [(_cut(name), _cut(value.strip())) for name, value in rows if value.strip()][:MOST_ENTRIES]


def _session(trial: Trial) -> Iterator[tuple[str, str]]:
    counts = {kind: len(trial.of(kind)) for kind in KINDS}
    yield "trial", trial.id
    yield "started", instant(trial.started_unix_ns)
    yield "finished", instant(trial.finished_unix_ns) if trial.finished_unix_ns is not None else ""
    yield "device", f"{trial.device.name} ({trial.device.target}, {trial.device.transport})"
    yield "stand-in", trial.device.stamp
    yield "runs that count", ", ".join(f"{n} {kind}" for kind, n in counts.items() if n)
    yield "runs that do not", str(sum(not run.counts for run in trial.runs) or "")
    for each in trial.preparation:
        yield f"prepared: {each.unit}", _prepared(each)


def _prepared(each: Prepared) -> str:
    changed = [
        f"{key} {each.found.get(key, '?')} to {now}" for key, now in each.now.items() if each.found.get(key) != now
    ]
    return each.outcome + (f": {', '.join(changed)}" if changed else "") + (f" ({each.reason})" if each.reason else "")


def _software(trial: Trial) -> Iterator[tuple[str, str]]:
    result = next((run.result for run in trial.runs if run.counts and run.result), None)
    state = trial.before or trial.after
    yield "system", f"{state.model} {state.os}" if state else ""
    yield "boot", state.boot_id if state else ""
    yield "seatrial", trial.seatrial_version
    if result is not None:
        yield from _agent(result)
    if trial.meter is not None:
        rate = f", {trial.meter.rate_hz:g} Hz" if trial.meter.rate_hz else ""
        yield "meter", f"{trial.meter.id} ({trial.meter.kind}, {trial.meter.scope}{rate})"


def _agent(result: AgentResult) -> Iterator[tuple[str, str]]:
    yield "machine", f"{result.machine} {result.kernel}"
    yield "runtime", result.runtime_version
    yield "agent", f"{result.agent} {result.agent_version}"
    yield "settings in effect", _pairs(result.effective)
    yield "warnings of the runtime", "; ".join(result.warnings[:10])


def _bundles(trial: Trial) -> Iterator[tuple[str, str]]:
    for role, bundle in trial.bundles.items():
        yield f"{role}", f"{bundle.name}.{bundle.target}, {bundle.precision}, {show(bundle.size_bytes, 'bytes')}"
        yield f"{role} digest", bundle.digest
        yield f"{role} toolchain", _pairs(bundle.toolchain)
        yield f"{role} asks of the runtime", _pairs(bundle.runtime_settings)
        if role in trial.builds:
            yield f"{role} as built on the device", _build(trial.builds[role])


def _build(build: Build) -> str:
    parts = [build.what, build.made_by, f"key {build.key[:16]}", "built earlier" if build.cached else "built now"]
    parts += [f"in {build.seconds:.0f} s"] if build.seconds is not None else []
    parts += [show(build.size_bytes, "bytes")] if build.size_bytes is not None else []
    parts += [f"{count} layers {kind}" for kind, count in build.precisions.items()]
    return ", ".join(filter(None, (*parts, *build.warnings[:5])))


def _settings(trial: Trial) -> Iterator[tuple[str, str]]:
    for name, value in trial.settings.items():
        if name.endswith("_ns") and isinstance(value, int | float):
            yield f"setting: {name.removesuffix('_ns')}", show(value, "ns")
        else:
            yield f"setting: {name}", _pairs(value) if isinstance(value, Mapping) else _text(value)


def _pairs(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_text(value)}" for key, value in sorted(found.items()))


def _text(value: Any) -> str:
    if isinstance(value, list | tuple) and all(isinstance(each, str | int | float) for each in value):
        return " ".join(map(str, value)) or "none"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _cut(text: str) -> str:
    return text if len(text) <= MOST_TEXT else f"{text[:MOST_TEXT]}…"
