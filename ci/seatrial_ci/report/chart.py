"""Charts as plain coordinates: the template draws them, so that no text is ever spliced into markup here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from seatrial_ci.figures import duet_log_ratios, percentiles, separate_log_ratios
from seatrial_ci.gate.verdict import Check, Verdict
from seatrial_ci.gate.wording import exact, show
from seatrial_ci.statistics.intervals import Floats
from seatrial_runner.records import Trial

WIDTH, HEIGHT = 720.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 80.0, 112.0, 12.0, 40.0
LABEL_GAP = 14.0
MOST_DOTS = 1000  # of each series; beyond it every k-th is drawn, and the chart says so


@dataclass(frozen=True)
class Scale:
    """Maps values from ``low`` to ``high`` onto pixels from ``start`` to ``end``."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = (self.high - self.low) or 1.0
        return round(self.start + (value - self.low) / span * (self.end - self.start), 1)


@dataclass(frozen=True)
class Dot:
    """A point with what it says; ``group`` is a class name."""

    x: float
    y: float
    group: str
    text: str


@dataclass(frozen=True)
class Rule:
    """A line across the chart at ``at`` pixels, with its label beside it; or a band down to ``to``."""

    at: float
    label: str
    group: str
    to: float | None = None
    label_at: float = 0.0


@dataclass(frozen=True)
class Band:
    """A shaded stretch from ``start`` to ``end`` pixels across the x axis."""

    start: float
    end: float
    group: str


@dataclass(frozen=True)
class Chart:
    """Everything to draw, in pixels. ``path`` holds polylines as (group, points)."""

    title: str
    description: str
    dots: tuple[Dot, ...]
    rules: tuple[Rule, ...]
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    x_label: str
    y_label: str
    paths: tuple[tuple[str, str], ...] = ()
    bands: tuple[Band, ...] = ()
    legend: tuple[tuple[str, str, float], ...] = ()  # (class, text, y)
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


def pair_chart(verdict: Verdict, trial: Trial) -> Chart | None:
    """Return each pair's ratio with the interval, ignore and margin: what the comparison was decided on."""
    check = next((c for c in verdict.checks if c.metric == "latency_regression"), None)
    series = separate_log_ratios(trial) if check and check.method.startswith("separate") else duet_log_ratios(trial)
    if check is None or check.ignore is None or check.margin is None or not len(series.values):
        return None
    ratios = [math.expm1(float(value)) for value in series.values]
    y = _vertical([*ratios, 0.0, check.ignore, check.margin])
    x = Scale(0, len(ratios) + 1, LEFT, WIDTH - RIGHT)
    used = check.pairs or 0
    every = math.ceil(len(ratios) / MOST_DOTS)
    dots = tuple(
        Dot(x(i), y(r), "used" if i <= used else "unused", f"run {run.index}: {show(r, 'relative')}")
        for i, (r, run) in enumerate(zip(ratios, series.runs, strict=True), 1)
        if i % every == 0
    )
    return Chart(
        title=f"Ratio of each {check.method} pair, candidate against baseline",
        description=check.message + (f" Of {every} pairs one is drawn." if every > 1 else ""),
        dots=dots,
        rules=_pair_rules(check, y),
        x_ticks=tuple((x(t), f"{t:g}") for t in ticks(1, len(ratios), whole=True)),
        y_ticks=tuple((y(t), f"{t * 100:+g} %" if t else "0 %") for t in ticks(y.low, y.high)),
        x_label="pair, in the order measured",
        y_label="slow-down against the baseline",
    )


def run_chart(trial: Trial) -> Chart | None:
    """Return the empirical distribution of the run p50s of each bundle: how runs differ, and bundles."""
    found = {role: percentiles(trial, role, 0.5) for role in trial.bundles}
    found = {role: series for role, series in found.items() if len(series.values)}
    if not found:
        return None
    values = [float(v) for series in found.values() for v in series.values]
    x = _padded(min(values), max(values), LEFT, WIDTH - RIGHT)
    y = Scale(0, 1, HEIGHT - BOTTOM, TOP)
    dots: list[Dot] = []
    paths: list[tuple[str, str]] = []
    for role, series in found.items():
        ordered = sorted(zip((float(v) for v in series.values), series.runs, strict=True), key=lambda pair: pair[0])
        every = math.ceil(len(ordered) / MOST_DOTS)
        points = [(v, (i + 1) / len(ordered), run.index) for i, (v, run) in enumerate(ordered) if i % every == 0]
        dots += [Dot(x(v), y(share), role, f"run {index}: {show(v, 'ns')}") for v, share, index in points]
        paths.append((role, " ".join(f"{x(v)},{y(share)}" for v, share, _ in points)))
    return Chart(
        title="p50 latency of each run",
        description="; ".join(f"{role}: {len(s.values)} runs, {_range(s.values)}" for role, s in found.items()),
        dots=tuple(dots),
        rules=(),
        x_ticks=tuple((x(t), show(t, "ns")) for t in ticks(x.low, x.high, count=5)),
        y_ticks=tuple((y(t / 4), f"{t * 25} %") for t in range(5)),
        x_label="p50 of a run",
        y_label="share of the runs at or below",
        paths=tuple(paths),
        legend=tuple((role, role, TOP + 14 + 18 * i) for i, role in enumerate(found)),
    )


def ticks(low: float, high: float, count: int = 6, whole: bool = False) -> list[float]:
    """Return about ``count`` round values within [low, high].

    >>> ticks(0, 10, 5)
    [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]
    """
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return [low]
    raw = span / count
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 5, 10) if size * m >= raw)
    step = max(step, 1.0) if whole else step
    return [round(i * step, 12) for i in range(math.ceil(low / step), math.floor(high / step + 1e-9) + 1)]


def _pair_rules(check: Check, y: Scale) -> tuple[Rule, ...]:
    rules = []
    if check.low is not None and check.high is not None:
        top, bottom = y(min(check.high, y.high)), y(max(check.low, y.low))
        rules.append(Rule(top, "", "interval", bottom))
    place = math.inf
    for group, value in (("zero", 0.0), ("ignore", check.ignore), ("margin", check.margin)):
        if value is not None:
            # Labels keep apart where the lines do not: a ratio far from the limits squeezes these together.
            place = min(y(value) + 4, place - LABEL_GAP)
            label = f"{group} {exact(value, 'relative')}" if value else "0"
            rules.append(Rule(y(value), label, group, label_at=round(place, 1)))
    return tuple(rules)


def _vertical(values: Sequence[float]) -> Scale:
    return _padded(min(values), max(values), HEIGHT - BOTTOM, TOP)


def _padded(low: float, high: float, start: float, end: float) -> Scale:
    pad = 0.08 * (high - low) or abs(high) * 0.01 or 1.0
    return Scale(low - pad, high + pad, start, end)


def _range(values: Floats) -> str:
    return f"{show(float(values.min()), 'ns')} to {show(float(values.max()), 'ns')}"
