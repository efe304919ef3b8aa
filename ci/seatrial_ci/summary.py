"""The figures of a trial, as a table shows them: per bundle, each with its interval or the reason why there is none."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from seatrial_ci.figures import BundleRole, Series, cold_loads, energies, energy_doubts, peak_memory, percentiles
from seatrial_ci.statistics.intervals import percentile_interval
from seatrial_ci.statistics.runs import run_interval
from seatrial_ci.statistics.validity import support_of
from seatrial_runner.records import Trial, agent_arm

ALPHA = 0.025  # per side: tables show two-sided 95 % intervals
Unit = Literal["ns", "bytes", "mJ"]


class Frozen(BaseModel):
    """Frozen; infinite numbers are written as text."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Figure(Frozen):
    """A value with its two-sided 95 % interval over ``runs`` runs, in ``unit``; or None, and ``reason`` says why.

    With one run the interval is that of its samples (``within_run``): it can't know how runs differ.
    """

    unit: Unit
    value: float | None = None
    low: float | None = None
    high: float | None = None
    runs: int = 0
    within_run: bool = False
    reason: str = ""


class BundleFigures(Frozen):
    """Everything measured of one bundle, and what the bundle states of itself."""

    role: BundleRole
    name: str
    digest: str
    target: str
    precision: str
    size_bytes: int
    latency: dict[str, Figure]  # p50, p90, p99
    cold_load: Figure
    peak_memory: Figure
    energy: Figure  # net of idling
    energy_gross: Figure = Figure(unit="mJ", reason="not computed")
    energy_doubts: tuple[str, ...] = ()  # why it is uncertain
    parity: dict[str, float] = Field(default_factory=dict)
    accuracy: dict[str, float] = Field(default_factory=dict)


class Summary(Frozen):
    """The bundles of a trial, candidate first."""

    trial_id: str
    device: str
    target: str
    stamp: str
    meter: str  # kind and scope of what energy was read from, or empty
    bundles: tuple[BundleFigures, ...]


def summarise(trial: Trial) -> Summary:
    """Return the figures of ``trial``. A percentile that the samples can't support is a reason, never a number."""
    roles: tuple[BundleRole, ...] = ("candidate", "baseline")
    meter = trial.meter
    return Summary(
        trial_id=trial.id,
        device=trial.device.name,
        target=trial.device.target,
        stamp=trial.device.stamp,
        meter=f"{meter.id} ({meter.kind}, {meter.scope})" if meter else "",
        bundles=tuple(_bundle(trial, role) for role in roles if role in trial.bundles),
    )


def _bundle(trial: Trial, role: BundleRole) -> BundleFigures:
    info = trial.bundles[role]
    return BundleFigures(
        role=role,
        name=info.name,
        digest=info.digest,
        target=info.target,
        precision=info.precision,
        size_bytes=info.size_bytes,
        latency={f"p{round(level * 100)}": _latency(trial, role, level) for level in (0.5, 0.9, 0.99)},
        cold_load=_figure(cold_loads(trial, role), "ns"),
        peak_memory=_figure(peak_memory(trial, role), "bytes"),
        energy=_figure(energies(trial, role), "mJ"),
        energy_gross=_figure(energies(trial, role, gross=True), "mJ"),
        energy_doubts=energy_doubts(trial, role),
        parity=dict(info.parity),
        accuracy=dict(info.accuracy),
    )


def _latency(trial: Trial, role: BundleRole, level: float) -> Figure:
    series = percentiles(trial, role, level)
    needed = support_of(level).runs
    if needed > 2 and 0 < len(series.values) < needed:
        reason = f"p{level * 100:g} needs {needed} runs, {len(series.values)} were made; measure with --runs {needed}"
        return Figure(unit="ns", runs=len(series.values), reason=reason)
    if len(series.values) != 1:
        return _figure(series, "ns")
    found = percentile_interval(agent_arm(series.runs[0], role).wall_ns, level, 1 - 2 * ALPHA)
    return Figure(unit="ns", value=found.estimate, low=found.low, high=found.high, runs=1, within_run=True)


def _figure(series: Series, unit: Unit) -> Figure:
    if series.problem:
        return Figure(unit=unit, reason=series.problem)
    if len(series.values) == 1:
        return Figure(unit=unit, value=float(series.values[0]), runs=1)
    found = run_interval(series.values, ALPHA)
    return Figure(unit=unit, value=found.estimate, low=found.low, high=found.high, runs=found.runs)
