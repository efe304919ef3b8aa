"""Are two sides alike in all but what is to be compared? Unlike ones are refused, or where asked warned about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from seatrial_ci.gate.settings import GateSettings
from seatrial_ci.gate.verdict import Check, Outcome
from seatrial_runner.records import BundleInfo, DeviceState, Trial

METRIC = "likeness"
ADVICE = "export the baseline again, or let unlike bundles only warn (--unlike warn, in a policy `unlike: warn`)"


def judge_likeness(trial: Trial, settings: GateSettings) -> Iterator[Check]:
    """Yield an INVALID check for each way in which the bundles of ``trial`` are unlike; it warns where that was asked.

    The device, its system and power mode are the same by construction: both ran in one session, and a change during
    it spoils the trial. What a bundle brings along may differ: a slow-down may then be the converter's.
    """
    one, other = trial.bundles.get("candidate"), trial.bundles.get("baseline")
    if one is None or other is None:
        return
    for text in unlike_bundles(one, other):
        severity = "warn" if settings.unlike == "warn" else "block"
        yield Check.model_validate(
            {"metric": METRIC, "outcome": Outcome.INVALID, "message": text, "severity": severity}
        )


def unlike_bundles(candidate: BundleInfo, baseline: BundleInfo) -> tuple[str, ...]:
    """Return why two bundles are unlike. What a bundle of an earlier version did not record is not held against it."""
    return (
        *_differ("toolchain", candidate.toolchain, baseline.toolchain),
        *_differ("runtime settings", candidate.runtime_settings, baseline.runtime_settings),
    )


def unlike_sessions(trials: Iterable[Trial]) -> tuple[str, ...]:
    """Return why trials of one device can't be taken together: another system, runtime, or power mode in between."""
    facts = [_facts(trial) for trial in trials]
    return tuple(
        f"the sessions are unlike: {key} was {' and '.join(values)}"
        for key in facts[0]
        if facts
        if len(values := sorted({each[key] for each in facts} - {""})) > 1
    )


def changed_state(before: DeviceState | None, after: DeviceState | None) -> Iterator[str]:
    """Yield what of the system or its power mode changed between two moments of a trial."""
    if before is None or after is None:
        return
    if before.boot_id and after.boot_id and before.boot_id != after.boot_id:
        yield "the device rebooted during the trial"
    changed = [c for c in before.governors.keys() & after.governors.keys() if before.governors[c] != after.governors[c]]
    if changed:
        yield f"the clock governor of {sorted(changed)[0]} changed during the trial"
    one, other = _system(before), _system(after)
    for key in sorted(one.keys() - {"the clock governor"}):
        if one[key] and other[key] and one[key] != other[key]:
            yield f"{key} changed during the trial, from {one[key]} to {other[key]}"


def _facts(trial: Trial) -> dict[str, str]:
    result = next((run.result for run in trial.runs if run.counts and run.result), None)
    runtime = {
        "the runtime": result.runtime_version if result else "",
        "the agent": result.agent if result else "",
        "the number of threads": str(trial.settings.get("threads", "")),
    }
    state = _system(trial.before) if trial.before else dict.fromkeys(SYSTEM, "")
    return {**state, **runtime}


SYSTEM = ("the system", "the kernel", "the model", "the number of CPUs", "the clock governor", "battery saving")


def _system(state: DeviceState) -> dict[str, str]:
    governors = ", ".join(sorted(set(state.governors.values())))
    saving = {None: "", True: "on", False: "off"}[state.power_save]
    values = (state.os, state.kernel, state.model, str(state.cpu_count or ""), governors, saving)
    return dict(zip(SYSTEM, values, strict=True))


def _differ(what: str, one: Mapping[str, str], other: Mapping[str, str]) -> Iterator[str]:
    if not one or not other:
        return
    for key in sorted(one.keys() | other.keys()):
        if one.get(key) != other.get(key):
            said = f"{key} {one.get(key, 'absent')} in the candidate, {other.get(key, 'absent')} in the baseline"
            yield f"the bundles are unlike in {what}: {said}; {ADVICE}"
            return
