"""Charts of what was measured: samples over the session, power over an energy run, variants beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from seatrial_ci.figures import BundleRole
from seatrial_ci.gate.wording import show
from seatrial_ci.judgement import Judgement
from seatrial_ci.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Band, Chart, Dot, Scale, ticks
from seatrial_ci.statistics.intervals import Floats
from seatrial_ci.summary import BundleFigures, summarise
from seatrial_runner.records import EnergyWindows, MeterInfo, Run, Trial, agent_arm

MOST_POINTS = 1500  # of an envelope, per bundle
MOST_POWER_CHARTS = 2


def trace_chart(trial: Trial) -> Chart | None:
    """Return every timed inference of the solo runs, in the order made: how the device behaved over the session."""
    found = {role: _samples(trial, role) for role in trial.bundles}
    found = {role: x for role, x in found.items() if x.size}
    if not found:
        return None
    longest = max(x.size for x in found.values())
    # A single stall would flatten all the rest; what lies beyond is drawn at the edge, and said.
    top = max(float(np.quantile(x, 0.999)) for x in found.values()) * 1.05
    low = min(float(x.min()) for x in found.values()) * 0.98
    x, y = Scale(0, longest, LEFT, WIDTH - RIGHT), Scale(low, top, HEIGHT - BOTTOM, TOP)
    beyond = sum(int((values > top).sum()) for values in found.values())
    total = sum(values.size for values in found.values())
    said = f"{total} inferences of the solo runs, run after run; each lies within the drawn envelope"
    return Chart(
        title="Latency over the session",
        description=said + (f", but for {beyond} above {show(top, 'ns')}" if beyond else ""),
        dots=tuple(_run_dots(trial, found, x, y)),
        rules=(),
        x_ticks=tuple((x(t), f"{t:g}") for t in ticks(0, longest, whole=True)),
        y_ticks=tuple((y(t), show(t, "ns")) for t in ticks(low, top)),
        x_label="inference",
        y_label="latency",
        paths=tuple((role, _envelope(values, x, y, top)) for role, values in found.items()),
        legend=tuple((role, role, TOP + 14 + 18 * i) for i, role in enumerate(found)),
    )


def power_charts(trial: Trial) -> tuple[Chart, ...]:
    """Return the power of the first energy runs, with the window that was integrated, and the idle ones, shaded."""
    if trial.meter is None:
        return ()
    charts = (_power(run, trial.meter) for run in trial.of("energy"))
    return tuple(chart for chart in charts if chart is not None)[:MOST_POWER_CHARTS]


def pareto_chart(judgements: Sequence[Judgement]) -> Chart | None:
    """Return latency against size of every bundle that was measured; None when there is only one."""
    bundles = {bundle.digest: (bundle, device) for bundle, device in _bundles(judgements)}
    points = [(b, d, b.latency["p50"].value) for b, d in bundles.values() if b.latency["p50"].value]
    if len(points) < 2:
        return None
    latencies, sizes = [float(v or 0) for _, _, v in points], [float(b.size_bytes) for b, _, _ in points]
    x = Scale(0, max(latencies) * 1.1, LEFT, WIDTH - RIGHT)
    y = Scale(0, max(sizes) * 1.1, HEIGHT - BOTTOM, TOP)
    return Chart(
        title="Latency and size of the variants",
        description="each bundle by its p50 and its size; nearer to the lower left is better",
        dots=tuple(Dot(x(float(v or 0)), y(b.size_bytes), b.role, _said(b, device)) for b, device, v in points),
        rules=(),
        x_ticks=tuple((x(t), show(t, "ns")) for t in ticks(0, x.high, count=5)),
        y_ticks=tuple((y(t), show(t, "bytes")) for t in ticks(0, y.high)),
        x_label="p50 latency",
        y_label="size",
        legend=tuple((role, role, TOP + 14 + 18 * i) for i, role in enumerate(sorted({b.role for b, _, _ in points}))),
    )


def _said(bundle: BundleFigures, device: str) -> str:
    figure = bundle.latency["p50"]
    text = f"{bundle.name}.{bundle.target} on {device}: {show(figure.value, 'ns')}, {show(bundle.size_bytes, 'bytes')}"
    accuracy = next((f", {k} {v:.4g}" for k, v in bundle.accuracy.items() if not k.endswith("_torch")), "")
    return text + accuracy


def _bundles(judgements: Sequence[Judgement]) -> Iterator[tuple[BundleFigures, str]]:
    for each in judgements:
        if each.trial is not None:
            found = summarise(each.trial)
            yield from ((bundle, found.device) for bundle in found.bundles)


def _samples(trial: Trial, role: str) -> Floats:
    runs = [np.asarray(agent_arm(run, role).wall_ns, dtype=np.float64) for run in _complete(trial, role)]
    return np.concatenate(runs) if runs else np.empty(0)


def _complete(trial: Trial, role: str) -> list[Run]:
    def has(run: Run) -> bool:
        return bool(run.result) and any(run.arms.get(a) == role for a in (run.result.arms if run.result else ()))

    return [run for run in trial.of("solo", role) if has(run)]


def _run_dots(trial: Trial, found: Mapping[BundleRole, Floats], x: Scale, y: Scale) -> Iterator[Dot]:
    """A dot per run, at its middle and median: what the pointer finds."""
    for role in found:
        begun = 0
        for run in _complete(trial, role):
            values = np.asarray(agent_arm(run, role).wall_ns, dtype=np.float64)
            if values.size:
                middle = float(np.median(values))
                text = f"run {run.index}, {role}: p50 {show(middle, 'ns')} of {values.size} inferences"
                yield Dot(x(begun + values.size / 2), y(min(middle, y.high)), role, text)
            begun += values.size


def _envelope(values: Floats, x: Scale, y: Scale, top: float) -> str:
    """Least and greatest of each bucket, in turn: a line that hides no outlier."""
    size = math.ceil(values.size / (MOST_POINTS / 2))
    points = []
    for start in range(0, values.size, size):
        bucket = np.minimum(values[start : start + size], top)
        ends = (float(bucket.min()), float(bucket.max())) if size > 1 else (float(bucket[0]),)
        points += [f"{x(start + size / 2)},{y(end)}" for end in ends]
    return " ".join(points)


def _power(run: Run, meter: MeterInfo) -> Chart | None:
    windows = run.result.energy if run.result else None
    watts = _watts(windows, meter) if windows and meter.id in windows.counters else []
    if windows is None or len(watts) < 3:
        return None
    begin = watts[0][0]
    x = Scale(0, (watts[-1][0] - begin) / 1e9, LEFT, WIDTH - RIGHT)
    y = Scale(0, max(w for _, w in watts) * 1.1 or 1.0, HEIGHT - BOTTOM, TOP)
    every = math.ceil(len(watts) / MOST_POINTS)
    points = [(x((t - begin) / 1e9), y(w), f"{(t - begin) / 1e9:.2f} s: {w:.3g} W") for t, w in watts[::every]]
    spans = {"idle": windows.idle_before, "burst": windows.burst, "idle after": windows.idle_after}
    return Chart(
        title=f"Power during run {run.index}",
        description=f"{meter.id} ({meter.kind}, {meter.scope}); shaded: idle, the integrated burst, idle",
        dots=tuple(Dot(px, py, "candidate", text) for px, py, text in points[:: max(1, len(points) // 200)]),
        rules=(),
        x_ticks=tuple((x(t), f"{t:g} s") for t in ticks(0, x.high)),
        y_ticks=tuple((y(t), f"{t:g} W") for t in ticks(0, y.high)),
        x_label="time",
        y_label="power",
        paths=(("candidate", " ".join(f"{px},{py}" for px, py, _ in points)),),
        bands=tuple(_band(x, name, span, begin) for name, span in spans.items()),
    )


def _band(x: Scale, name: str, span: tuple[int, int], begin: int) -> Band:
    first, last = (max(LEFT, min(WIDTH - RIGHT, x((t - begin) / 1e9))) for t in span)
    return Band(first, last, name.split()[0])


def _watts(windows: EnergyWindows, meter: MeterInfo) -> list[tuple[int, float]]:
    """Return (ns, W) between neighbouring readings of the counter; a step backwards is a wrap, or left out."""
    column = windows.counters.index(meter.id)
    readings = [(s.t_ns, s.values[column]) for s in windows.samples if len(s.values) > column]
    known = [(t, value) for t, value in readings if value is not None]
    found = []
    for (t0, v0), (t1, v1) in pairwise(known):
        step = v1 - v0 + (meter.wraps_at or 0 if v1 < v0 else 0)
        if t1 > t0 and step >= 0:
            found.append((t1, step * meter.uj_per_step * 1e-6 / ((t1 - t0) * 1e-9)))
    return found
