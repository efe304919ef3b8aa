"""May the times of this trial be used: throttling, battery, reboots, unlike runs, too many that failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from seatrial_ci.gate.likeness import changed_state
from seatrial_ci.gate.settings import GateSettings
from seatrial_runner.records import AgentResult, DeviceState, Run, Trial


def timing_problems(trial: Trial, settings: GateSettings) -> tuple[str, ...]:
    """Return why times and energies of ``trial`` can't be judged; empty when they can."""
    return (
        *_state_problems("before", trial.before, settings),
        *_state_problems("after", trial.after, settings),
        *changed_state(trial.before, trial.after),
        *_unlike(trial.runs),
        *_fallen_clock(trial.runs),
    )


def trial_problems(trial: Trial, settings: GateSettings) -> tuple[str, ...]:
    """Return what went wrong with the trial as a whole; such a trial can't pass, whatever it measured."""
    return (*_ended(trial), *_wrong_outputs(trial), *_lost_runs(trial, settings))


def notes(trial: Trial) -> tuple[str, ...]:
    """Return what a reader must know but that decides nothing."""
    found = list(trial.notes)
    if trial.device.stamp:
        found.append(f"measured on {trial.device.stamp}: times say nothing about real hardware")
    if trial.finished_unix_ns is not None and (trial.before is None or trial.after is None):
        found.append("the device's state was not recorded, so throttling can't be excluded")
    begun = [run.started_unix_ns for run in trial.runs]
    if any(later < earlier for earlier, later in pairwise(begun)):
        found.append("this machine's clock was set back while it measured: times of day are wrong, durations are not")
    return tuple(found)


def _state_problems(when: str, state: DeviceState | None, settings: GateSettings) -> Iterator[str]:
    if state is None:
        return
    if state.throttled:
        yield f"the device was throttled {when} the runs; let it cool down, or improve its cooling"
    low = settings.least_battery_percent
    if state.battery_percent is not None and state.battery_percent < low and not state.charging:
        yield f"the battery was at {state.battery_percent:.0f} % {when} the runs; charge it to at least {low:.0f} %"


def _unlike(runs: tuple[Run, ...]) -> Iterator[str]:
    results = [run.result for run in runs if run.counts and run.result]
    for key in ("runtime_version", "machine", "kernel", "agent"):
        values = sorted({_text(result, key) for result in results} - {""})
        if len(values) > 1:
            yield f"runs are unlike: {key.replace('_', ' ')} was {' and '.join(values)}"
    yield from _unlike_settings(results)


def _unlike_settings(results: Sequence[AgentResult]) -> Iterator[str]:
    """What ran reports its settings itself; those of separate processes may differ, whatever was asked for."""
    told = [result.effective for result in results if result.effective]
    for key in sorted({key for settings in told for key in settings}):
        values = sorted({settings.get(key, "not told") for settings in told})
        if len(values) > 1:
            yield f"runs are unlike: {key} was {' and '.join(values)}"


GPU_CLOCK, MOST_FALL = "frequency:gpu", 0.1  # of its highest during the inferences of a run


def _fallen_clock(runs: tuple[Run, ...]) -> Iterator[str]:
    """A GPU whose clock falls under load was throttled, or its governor let it: either way the times mean nothing."""
    for run in runs:
        clocks = _gpu_clocks(run) if run.counts else []
        top = max(clocks, default=0)
        low = min(clocks[clocks.index(top) :], default=0) if clocks else 0
        if low < (1 - MOST_FALL) * top:
            yield (
                f"the GPU's clock fell from {top / 1e3:.0f} to {low / 1e3:.0f} MHz during run {run.index}: it was"
                " throttled, or clocks are not locked; cool it, or let `preparation` lock them"
            )
            return


def _gpu_clocks(run: Run) -> list[int]:
    trace = run.result.sensors if run.result else None
    if trace is None or GPU_CLOCK not in trace.sensors:
        return []
    column = trace.sensors.index(GPU_CLOCK)
    values = [sample.values[column] for sample in trace.samples if column < len(sample.values)]
    return [value for value in values if value]


def _text(result: AgentResult, key: str) -> str:
    return str(getattr(result, key))


def _ended(trial: Trial) -> Iterator[str]:
    if trial.status != "ok":
        yield f"the trial ended early ({trial.status.replace('_', ' ')}): {trial.reason or 'no reason was recorded'}"


def _wrong_outputs(trial: Trial) -> Iterator[str]:
    wrong = [r for r in trial.runs if r.result and r.result.error and r.result.error.stage == "check"]
    if wrong and wrong[0].result and wrong[0].result.error:
        error = wrong[0].result.error
        yield f"outputs on the device differ from the golden ones in {len(wrong)} runs: {error.message}"


def _lost_runs(trial: Trial, settings: GateSettings) -> Iterator[str]:
    lost = [run for run in trial.runs if not run.counts]
    if trial.runs and len(lost) > settings.most_invalid_runs * len(trial.runs):
        reason = lost[-1].invalid or lost[-1].reason or lost[-1].status.replace("_", " ")
        yield f"{len(lost)} of {len(trial.runs)} runs don't count; the last: {reason}"
