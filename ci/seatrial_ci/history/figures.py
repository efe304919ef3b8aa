"""A trial's figures as rows, and as points of a trend."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select

from seatrial_ci.history.entries import latest_outcome, narrowed
from seatrial_ci.history.models import Artifact, DeviceRow, FigureRow, LabelRow, TrialRow
from seatrial_ci.summary import BundleFigures, Figure, summarise
from seatrial_runner.records import Trial


@dataclass(frozen=True)
class Point:
    """One trial's figure in a trend. ``commit`` and ``outcome`` are empty where they are not known."""

    trial_id: str
    unix_ns: int
    value: float
    low: float | None
    high: float | None
    runs: int
    unit: str
    likeness: str
    device: str
    candidate: str
    target: str
    stamp: str
    commit: str | None
    outcome: str | None


def figure_rows(trial: Trial) -> list[FigureRow]:
    """Return a row for each figure that was measured, of each bundle."""
    likeness = likeness_of(trial)
    return [
        FigureRow(
            trial_id=trial.id,
            role=bundle.role,
            metric=metric,
            unit=figure.unit,
            value=figure.value,
            low=_finite(figure.low),
            high=_finite(figure.high),
            runs=figure.runs,
            started_unix_ns=trial.started_unix_ns,
            likeness=likeness,
        )
        for bundle in summarise(trial).bundles
        for metric, figure in _figures(bundle).items()
        if figure.value is not None and math.isfinite(figure.value)
    ]


def likeness_of(trial: Trial) -> str:
    """Return what makes figures of the same device unlike: runtime, agent, kernel, system, threads."""
    result = next((run.result for run in trial.runs if run.counts and run.result), None)
    system = trial.before.os if trial.before else ""
    parts = [result.runtime_version, result.agent, result.kernel] if result else []
    text = " | ".join([*parts, system, f"threads {trial.settings.get('threads', '?')}"])
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:500]


def points(metric: str, where: Mapping[str, str | None], limit: int | None) -> Select[Any]:
    """Return the query of the latest points of a metric, newest first; ``where`` as for `entries`."""
    commit = select(LabelRow.value).where(LabelRow.trial_id == TrialRow.id, LabelRow.key == "commit")
    columns: list[Any] = [
        TrialRow.id,
        FigureRow.started_unix_ns,
        FigureRow.value,
        FigureRow.low,
        FigureRow.high,
        FigureRow.runs,
        FigureRow.unit,
        FigureRow.likeness,
        DeviceRow.name,
        Artifact.name,
        Artifact.target,
        DeviceRow.stamp,
        commit.scalar_subquery(),
        latest_outcome(),
    ]
    query = (
        select(*columns)
        .join(FigureRow, FigureRow.trial_id == TrialRow.id)
        .join(DeviceRow, TrialRow.device_id == DeviceRow.id)
        .join(Artifact, TrialRow.candidate_digest == Artifact.digest)
        .where(FigureRow.metric == metric, FigureRow.role == "candidate")
        .order_by(FigureRow.started_unix_ns.desc(), FigureRow.trial_id)
    )
    query = narrowed(query, where)
    return query if limit is None else query.limit(limit)


def _figures(bundle: BundleFigures) -> dict[str, Figure]:
    latencies = {f"latency_{name}": figure for name, figure in bundle.latency.items()}
    return {
        **latencies,
        "cold_load": bundle.cold_load,
        "peak_memory": bundle.peak_memory,
        "energy_per_inference": bundle.energy,
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
