"""Where an inference's time goes, operator by operator, and which unit ran it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from seatrial_ci.figures import BundleRole
from seatrial_ci.gate.wording import show
from seatrial_ci.report.chart import Bar, Bars
from seatrial_ci.report.exhibit import Exhibit, limited
from seatrial_runner.records import LayerProfile, Placed, Run, Trial, agent_arm

MOST_BARS, MOST_ROWS = 20, 200
KEY, TITLE = "layers", "Time by operator"
ROLES: tuple[BundleRole, ...] = ("candidate", "baseline")


@dataclass(frozen=True)
class Part:
    """One operator: its share of the whole, and its time where that was measured. ``fell``: not where it should run."""

    role: BundleRole
    name: str
    op: str
    unit: str
    share: float
    ns: float | None
    fell: bool


def layers(trial: Trial) -> Exhibit:
    """Return the exhibit of the operators of each bundle that was profiled."""
    found = {role: profile for role in ROLES if (profile := _profile(trial, role))}
    if found:
        parts = [part for role, profile in found.items() for part in _measured(role, profile)]
        said = "; ".join(_said(role, profile) for role, profile in found.items())
        return _exhibit(parts, f"{said}. Profiling costs time: these are shares, not latencies.")
    planned = {role: placed for role in ROLES if (placed := _placement(trial, role))}
    if planned:
        parts = [part for role, placed in planned.items() for part in _planned(role, placed)]
        return _exhibit(parts, "The runtime's own estimate of each operator's share, and where its plan places it.")
    why = next((text for key, text in trial.unmeasured.items() if key.startswith("profile")), "")
    return Exhibit(KEY, TITLE, absent=why or "no run was made with the runtime's profiler")


def _profile(trial: Trial, role: BundleRole) -> LayerProfile | None:
    runs = (run for run in trial.runs if run.counts and role in run.arms.values())
    return next((layers for run in runs if (layers := _layers(run, role)) and layers.layers), None)


def _layers(run: Run, role: BundleRole) -> LayerProfile | None:
    try:
        return agent_arm(run, role).layers
    except KeyError:
        return None


def _placement(trial: Trial, role: BundleRole) -> tuple[Placed, ...]:
    for run in trial.runs:
        facts = run.result.apple if run.counts and run.result else None
        for arm, bundle in run.arms.items():
            if facts and facts.placement and bundle == role and facts.placement.get(arm):
                return facts.placement[arm]
    return ()


def _measured(role: BundleRole, profile: LayerProfile) -> list[Part]:
    times = [float(statistics.median(layer.ns)) if layer.ns else 0.0 for layer in profile.layers]
    total = sum(times) or 1.0
    fallen = {id(layer) for layer in profile.fallbacks}
    return [
        Part(role, layer.name, layer.op, layer.provider, ns / total, ns, id(layer) in fallen)
        for layer, ns in zip(profile.layers, times, strict=True)
    ]


def _planned(role: BundleRole, placed: tuple[Placed, ...]) -> list[Part]:
    total = sum(each.cost or 0.0 for each in placed) or 1.0
    return [Part(role, p.name, p.op, p.unit, (p.cost or 0.0) / total, None, False) for p in placed]


def _said(role: str, profile: LayerProfile) -> str:
    text = f"{role}: {len(profile.layers)} operators by {profile.tool}"
    if not profile.promised:
        return text
    lost = profile.fallbacks
    where = " and ".join(profile.promised)
    return text + (f", all on {where}" if not lost else f", {len(lost)} of them not on {where} (marked)")


def _exhibit(parts: list[Part], said: str) -> Exhibit:
    roles = [role for role in ROLES if any(part.role == role for part in parts)]
    ordered = sorted(parts, key=lambda part: (ROLES.index(part.role), -part.share))
    rows, left_out = limited([_row(part) for part in ordered], MOST_ROWS, "operators")
    return Exhibit(
        KEY,
        TITLE,
        said,
        charts=tuple(_bars(role, [part for part in ordered if part.role == role]) for role in roles),
        head=("operator", "type", "bundle", "ran on", "share", "time"),
        rows=rows,
        left_out=left_out,
    )


def _bars(role: BundleRole, parts: list[Part]) -> Bars:
    legend: list[tuple[str, str]] = [(role, f"{role}, by operator")]
    if any(part.fell for part in parts):
        legend.append(("fallen", "ran elsewhere than promised"))
    return Bars(tuple(_each_bar(parts)), tuple(legend))


def _each_bar(parts: list[Part]) -> Iterator[Bar]:
    for part in parts[:MOST_BARS]:
        time = f", {show(part.ns, 'ns')}" if part.ns is not None else ""
        yield Bar(f"{part.op} {part.name}", part.share, f"{part.share * 100:.1f} %{time}, {part.unit}", _group(part))
    rest = parts[MOST_BARS:]
    if rest:
        share = sum(part.share for part in rest)
        yield Bar(f"{len(rest)} more", 0.0, f"{share * 100:.1f} % together", "rest")


def _group(part: Part) -> str:
    return "fallen" if part.fell else part.role


def _row(part: Part) -> tuple[str, ...]:
    time = show(part.ns, "ns") if part.ns is not None else "-"
    unit = f"{part.unit} (not as promised)" if part.fell else part.unit
    return part.name, part.op, part.role, unit, f"{part.share * 100:.2f} %", time
