"""From raw records to one figure per run: what every judgement, table and chart starts from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from seatrial_ci.statistics.duet import duet_log_ratio
from seatrial_ci.statistics.intervals import Floats, quantile
from seatrial_ci.statistics.validity import support_of, thirds_log_ratio
from seatrial_runner.records import ArmResult, Memory, MeterInfo, Run, RunKind, Trial, agent_arm

if TYPE_CHECKING:
    from seatrial_runner.meter.energy import EnergyFigure

BundleRole = Literal["candidate", "baseline"]
Comparison = Literal["duet", "separate"]
SUSTAINED_LEAST_NS = 300 * 10**9


@dataclass(frozen=True)
class Series:
    """One figure per run, shape (runs,), in the order measured, and the runs that they are of.

    ``problem`` says why there are none, or why those there are can't be used; ``pending`` is True when it is only
    that no such run was made yet. ``order`` of pairs is +1 where the candidate came first, else -1.
    """

    values: Floats
    runs: tuple[Run, ...] = ()
    problem: str = ""
    pending: bool = False
    order: tuple[int, ...] = ()


def percentiles(trial: Trial, bundle: BundleRole, level: float) -> Series:
    """Return the wall-time percentile at ``level``, in ns, of each solo run of ``bundle``."""
    needed = support_of(level).samples
    advice = f"--iterations {needed}" + (f" --runs {support_of(level).runs}" if support_of(level).runs > 2 else "")

    def figure(run: Run) -> float:
        samples = agent_arm(run, bundle).wall_ns
        if len(samples) < needed:
            raise ValueError(
                f"p{level * 100:g} needs {needed} inferences in each run, run {run.index} has {len(samples)}; "
                f"measure with {advice}"
            )
        return _positive(quantile(samples, level), run)

    return _series(trial, trial.of("solo", bundle), figure, "solo")


def throughputs(trial: Trial, bundle: BundleRole) -> Series:
    """Return inferences per second of each solo run of ``bundle``: one after the other, without a pause."""

    def figure(run: Run) -> float:
        samples = agent_arm(run, bundle).wall_ns
        if not samples:
            raise ValueError(f"run {run.index} holds no inferences")
        return 1e9 / _positive(float(np.mean(np.asarray(samples, dtype=np.float64))), run)

    return _series(trial, trial.of("solo", bundle), figure, "solo")


def cold_loads(trial: Trial, bundle: BundleRole) -> Series:
    """Return, in ns, session creation plus first inference of each solo run of ``bundle``: fresh process, one model."""

    def figure(run: Run) -> float:
        arm = agent_arm(run, bundle)
        return _positive(float(arm.session_ns + arm.first_ns), run)

    return _series(trial, trial.of("solo", bundle), figure, "solo")


def peak_memory(trial: Trial, bundle: BundleRole) -> Series:
    """Return the peak bytes, over load and inference, of each memory run of ``bundle``.

    Those that the agent's process held resident; where a GPU shares the machine's memory, by how much the use of the
    whole machine rose.
    """

    def figure(run: Run) -> float:
        memory = run.result.memory if run.result else None
        peaks = [p for p in (memory.peak_load, memory.peak_inference) if p] if memory else []
        if memory and memory.system_peak_delta is not None and (_on_gpu(memory) or not peaks):
            peaks = [memory.system_peak_delta] if memory.system_peak_delta else []
        if not peaks:
            raise ValueError(f"run {run.index}: {_no_peak(memory)}")
        return float(max(peaks))

    return _series(trial, trial.of("memory", bundle), figure, "memory")


def _no_peak(memory: Memory | None) -> str:
    if memory and memory.system_peak_delta == 0:
        return "the machine's use of memory did not rise, so something else there gave memory back meanwhile; stop it"
    return "the kernel did not tell the peak memory"


def _on_gpu(memory: Memory) -> bool:
    """Only an engine on a GPU says its size; what a CPU's process holds is told better by the process itself."""
    return memory.engine_bytes is not None or memory.scratch_bytes is not None


def energies(trial: Trial, bundle: BundleRole, *, gross: bool = False) -> Series:
    """Return the energy per inference, in mJ, of each energy run of ``bundle``: net of idling, or ``gross``."""
    if trial.meter is None:
        return Series(np.empty(0), problem=_why(trial, "energy") or "the device has no energy meter that we can read")
    meter = trial.meter

    def figure(run: Run) -> float:
        found = energy_of(run, meter)
        if found.net_mj <= 0:
            raise ValueError(f"run {run.index}: no more energy than idling; lengthen the energy window")
        return found.gross_mj if gross else found.net_mj

    return _series(trial, trial.of("energy", bundle), figure, "energy")


def energy_of(run: Run, meter: MeterInfo) -> EnergyFigure:
    """Return the energy of one run, with its doubts. Raises ValueError with the reason where there is none."""
    from seatrial_runner.meter.energy import energy_per_inference

    windows = run.result.energy if run.result else None
    if run.power is not None and run.power.problem:
        raise ValueError(f"run {run.index}: {run.power.problem}")
    wanted = {counter for channel in meter.read if channel.in_total for counter in channel.counters}
    if windows is None or not wanted or not wanted <= set(windows.counters):
        raise ValueError(f"run {run.index}: no readings of {meter.id}")
    if any(len(sample.values) != len(windows.counters) for sample in windows.samples):
        raise ValueError(f"run {run.index}: readings that lack a counter")
    found = energy_per_inference(windows, meter)
    if isinstance(found, str):
        raise ValueError(f"run {run.index}: {found}")
    return found


def energy_doubts(trial: Trial, bundle: BundleRole) -> tuple[str, ...]:
    """Return why the energies of ``bundle`` are uncertain; whoever prints them prints these, too."""
    found: dict[str, None] = {}
    for run in trial.of("energy", bundle) if trial.meter else ():
        try:
            found |= dict.fromkeys(energy_of(run, trial.meter).doubts) if trial.meter else {}
        except ValueError:
            continue
    return tuple(found)


def sustained_latencies(trial: Trial, bundle: BundleRole) -> Series:
    """Return, in ns, the median of the steady part (see `steady_samples`) of each sustained run of ``bundle``."""

    def figure(run: Run) -> float:
        return _positive(float(np.median(steady_samples(agent_arm(run, bundle), run.index))), run)

    return _series(trial, trial.of("sustained", bundle), figure, "sustained")


def steady_samples(arm: ArmResult, run_index: int = 0) -> Floats:
    """Return the inferences of the last fifth of a sustained run's time. Raises ValueError for less than 5 minutes.

    Heat builds up over minutes: what comes before is not what a user gets who goes on.
    """
    x = np.asarray(arm.wall_ns, dtype=np.float64)
    began = np.asarray(arm.at_ns, dtype=np.float64)
    at = began - began[0] if x.size and began.size == x.size else np.cumsum(x) * arm.stride
    if (np.diff(at) < 0).any():
        raise ValueError(f"run {run_index}: its clock went backwards")
    total = float(at[-1]) if x.size else 0.0
    if total < SUSTAINED_LEAST_NS:
        raise ValueError(
            f"run {run_index} lasted {total / 1e9:.0f} s; heat takes at least {SUSTAINED_LEAST_NS // 10**9}"
        )
    return x[at >= 0.8 * total]


def fallback_ops(trial: Trial, bundle: BundleRole) -> Series:
    """Return how many operators of ``bundle`` ran elsewhere than its target promises, for each run that tells."""
    found = [(run, count) for run in trial.runs if (count := _fallbacks(run, bundle)) is not None]
    untold = "no run told which unit ran which operator; measure with --profile"
    why = _why(trial, "fallback_ops") or _why(trial, "profile") or untold
    values = np.asarray([float(count) for _, count in found])
    return Series(values, tuple(run for run, _ in found), problem="" if found else why)


def _fallbacks(run: Run, bundle: BundleRole) -> int | None:
    """None where nothing was told, or nothing is promised: then nothing can be called a fallback."""
    if not run.counts or run.result is None:
        return None
    arm = next((arm for arm, name in run.arms.items() if name == bundle), None)
    layers = run.result.arms[arm].layers if arm in run.result.arms else None
    return len(layers.fallbacks) if layers and layers.promised and layers.layers else None


def comparison_of(trial: Trial) -> Comparison:
    """Return how the two bundles of ``trial`` are compared: run by run only where that was measured, and no duet."""
    kinds = {run.kind for run in trial.runs}
    paired = any(run.pair is not None for run in trial.runs)
    return "separate" if paired and "duet" not in kinds else "duet"


def duet_log_ratios(trial: Trial) -> Series:
    """Return ln(candidate / baseline) of each duet run."""

    def figure(run: Run) -> float:
        try:
            return duet_log_ratio(agent_arm(run, "candidate").wall_ns, agent_arm(run, "baseline").wall_ns)
        except ValueError as error:
            raise ValueError(f"run {run.index}: {error}") from None

    runs = tuple(run for run in trial.of("duet") if len(set(run.arms.values())) == 2)
    order = tuple(1 if run.arms.get(run.first) == "candidate" else -1 for run in runs)
    return replace(_series(trial, runs, figure, "duet"), order=order)


def separate_log_ratios(trial: Trial) -> Series:
    """Return ln(candidate / baseline) of the p50s of each pair of separate solo runs, made in ABBA order.

    Pairs are in the order in which they were completed; one of which a run does not count is left out. ``runs``
    holds the candidate's.
    """
    sides = [percentiles(trial, "candidate", 0.5), percentiles(trial, "baseline", 0.5)]
    problem = next((s.problem for s in sides if s.problem), "")
    if problem:
        return Series(np.empty(0), problem=problem, pending=all(s.pending or not s.problem for s in sides))
    p50 = {run.index: float(value) for s in sides for run, value in zip(s.runs, s.values, strict=True)}
    pairs = _pairs(sides[0].runs, sides[1].runs)
    ratios = [math.log(p50[c.index] / p50[b.index]) for c, b in pairs]
    problem = "" if pairs else "no pair of separate runs was completed"
    order = tuple(1 if c.index < b.index else -1 for c, b in pairs)
    return Series(np.asarray(ratios), tuple(c for c, _ in pairs), problem, pending=not pairs, order=order)


def _pairs(candidates: Iterable[Run], baselines: Iterable[Run]) -> list[tuple[Run, Run]]:
    """Return (candidate, baseline) by the number of their pair, by when the later of the two was made."""
    others = {run.pair: run for run in baselines if run.pair is not None}
    found = [(run, others[run.pair]) for run in candidates if run.pair in others]
    return sorted(found, key=lambda pair: max(pair[0].index, pair[1].index))


def drift_within(series: Series, bundle: BundleRole) -> Floats:
    """Return ln(last third / first third) of each run's samples, shape (runs,)."""
    return np.asarray([thirds_log_ratio(agent_arm(run, bundle).wall_ns) for run in series.runs])


def _series(trial: Trial, runs: tuple[Run, ...], figure: Callable[[Run], float], kind: RunKind) -> Series:
    if not runs:
        tried = [run for run in trial.runs if run.kind == kind]
        reason = next((run.invalid or run.reason for run in reversed(tried) if run.invalid or run.reason), "")
        why = f"no {kind} run counts: {reason}" if reason else _why(trial, kind) or f"no {kind} run was made"
        return Series(np.empty(0), problem=why, pending=not tried and not _why(trial, kind))
    try:
        values = np.asarray([figure(run) for run in runs], dtype=np.float64)
    except KeyError as error:
        return Series(np.empty(0), problem=f"a {kind} run holds no result of {error.args[0]!r}")
    except ValueError as error:
        return Series(np.empty(0), problem=str(error))
    if not np.isfinite(values).all():
        return Series(np.empty(0), problem=f"a {kind} run gives a figure that is not a finite number")
    return Series(values, runs)


def _why(trial: Trial, kind: str) -> str:
    """What the trial itself says about why this was not measured: "energy", "energy_per_inference", ..."""
    return next((text for key, text in trial.unmeasured.items() if key.startswith(kind)), "")


def _positive(value: float, run: Run) -> float:
    if value <= 0:
        raise ValueError(f"run {run.index}: a time of 0 ns; the device's clock is too coarse or went backwards")
    return value
