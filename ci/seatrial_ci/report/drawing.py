"""From a chart to places on the page, in pixels: the template writes them down, and makes no text of its own."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

from seatrial_ci.report.axes import Axis
from seatrial_ci.report.chart import Band, Bars, Chart, Line, Mark, Rule

WIDTH = 760.0
LEFT, RIGHT, TOP, BOTTOM = 78.0, 28.0, 10.0, 44.0
LABELLED_RIGHT = 104.0  # where rules across the chart have their labels
LABEL_GAP = 14.0
BAR_HEIGHT, BAR_LEFT, BAR_RIGHT = 20.0, 280.0, 270.0
CLOSE = 220.0  # pixels along x within which names might touch
MOST_NAME = 36  # characters of a bar's label


@dataclass(frozen=True)
class Dot:
    """A mark: ``path`` is a line of nearly no length, which a round or square cap makes a dot at any zoom.

    Of no length at all, square caps are not printed by Chromium.
    """

    path: str
    span: str
    group: str
    text: str


@dataclass(frozen=True)
class Box:
    """A shaded rectangle of the plot."""

    x: float
    y: float
    width: float
    height: float
    group: str
    label: str


@dataclass(frozen=True)
class Stroke:
    """A path, and the class that colours it."""

    path: str
    group: str


@dataclass(frozen=True)
class Label:
    """A text outside of the plot. ``place`` is where on its axis it belongs (0 to 1), for who zooms."""

    x: float
    y: float
    text: str
    group: str
    place: float = 0.0


@dataclass(frozen=True)
class Name:
    """What is written beside a point: where in the chart, and where in the plot its point lies, for who zooms."""

    x: float
    y: float
    text: str
    anchor: str
    at_x: float
    at_y: float


@dataclass(frozen=True)
class Drawing:
    """A chart, drawn. The plot has its own coordinates, from 0 0 to ``inner_width`` ``inner_height``."""

    width: float
    height: float
    left: float
    top: float
    inner_width: float
    inner_height: float
    dots: tuple[Dot, ...]
    boxes: tuple[Box, ...]
    strokes: tuple[Stroke, ...]
    rules: tuple[Stroke, ...]
    rule_labels: tuple[Label, ...]
    names: tuple[Name, ...]
    x_ticks: tuple[Label, ...]
    y_ticks: tuple[Label, ...]
    x_label: str
    y_label: str
    axes: str  # both, as JSON: what a reader who zooms needs for new ticks


class _Plot:
    """Values to pixels of the plot."""

    def __init__(self, chart: Chart, width: float, height: float) -> None:
        self.chart, self.width, self.height = chart, width, height

    def x(self, value: float) -> float:
        """Return the pixel from the left."""
        return _short(self._within(self.chart.x.place(value)) * self.width)

    def y(self, value: float) -> float:
        """Return the pixel from the top."""
        return _short((1 - self._within(self.chart.y.place(value))) * self.height)

    @staticmethod
    def _within(place: float) -> float:
        """Far beyond the plot is as good as far away: numbers of a hostile file must not grow without end."""
        return max(-10.0, min(11.0, place)) if math.isfinite(place) else (11.0 if place > 0 else -10.0)


def _short(pixels: float) -> float:
    """A tenth of a pixel is enough, and 12 is shorter than 12.0: there are thousands of these."""
    rounded = round(pixels, 1)
    return int(rounded) if rounded == int(rounded) else rounded


def draw(chart: Chart) -> Drawing:
    """Return the drawing of a chart. An axis that a hostile file makes endless becomes one from 0 to 1."""
    chart = replace(chart, x=_finite(chart.x), y=_finite(chart.y))
    right = LABELLED_RIGHT if any(rule.axis == "y" and rule.label for rule in chart.rules) else RIGHT
    plot = _Plot(chart, WIDTH - LEFT - right, chart.height - TOP - BOTTOM)
    return Drawing(
        width=WIDTH,
        height=chart.height,
        left=LEFT,
        top=TOP,
        inner_width=plot.width,
        inner_height=plot.height,
        dots=tuple(_dot(mark, plot) for mark in chart.marks if math.isfinite(mark.x)),
        boxes=tuple(_box(band, plot) for band in chart.bands),
        strokes=tuple(Stroke(_path(line, plot), line.group) for line in chart.lines),
        rules=tuple(Stroke(_across(rule, plot), rule.group) for rule in chart.rules),
        rule_labels=_rule_labels(chart, plot),
        names=_names(chart, plot),
        x_ticks=tuple(
            Label(round(LEFT + plot.x(at), 1), TOP + plot.height + 17, text, "", chart.x.place(at))
            for at, text in chart.x.ticks
        ),
        y_ticks=tuple(
            Label(LEFT - 7, round(TOP + plot.y(at) + 4, 1), text, "", chart.y.place(at)) for at, text in chart.y.ticks
        ),
        x_label=chart.x.label,
        y_label=chart.y.label,
        axes=json.dumps({"x": _axis(chart.x), "y": _axis(chart.y)}),
    )


def _finite(axis: Axis) -> Axis:
    ends = (axis.low, axis.high, axis.high - axis.low)
    return axis if all(math.isfinite(end) for end in ends) else replace(axis, low=0.0, high=1.0)


def _axis(axis: Axis) -> list[object]:
    return [axis.low, axis.high, axis.unit, axis.whole]


def _dot(mark: Mark, plot: _Plot) -> Dot:
    x, y = plot.x(mark.x), 5.0 if mark.beyond else plot.y(mark.y)
    path = f"M{x - 4},{y + 5}L{x},{y - 2}L{x + 4},{y + 5}Z" if mark.beyond else f"M{x},{y}h.01"
    span = ""
    if mark.span is not None and mark.axis == "x":
        span = f"M{plot.x(mark.span[0])},{y}H{plot.x(mark.span[1])}"
    elif mark.span is not None:
        span = f"M{x},{plot.y(mark.span[0])}V{plot.y(mark.span[1])}"
    return Dot(path, span, mark.group + (" beyond" if mark.beyond else ""), mark.text)


def _box(band: Band, plot: _Plot) -> Box:
    if band.axis == "x":
        first, last = sorted((plot.x(band.low), plot.x(band.high)))
        return Box(first, 0, round(last - first, 1), plot.height, band.group, band.label)
    first, last = sorted((plot.y(band.low), plot.y(band.high)))
    return Box(0, first, plot.width, round(last - first, 1), band.group, band.label)


def _across(rule: Rule, plot: _Plot) -> str:
    if rule.axis == "x":
        return f"M{plot.x(rule.at)},0V{plot.height}"
    return f"M0,{plot.y(rule.at)}H{plot.width}"


def _rule_labels(chart: Chart, plot: _Plot) -> tuple[Label, ...]:
    """Labels keep apart where the lines do not: a ratio far from the limits squeezes these together."""
    found, place = [], math.inf
    for rule in sorted((r for r in chart.rules if r.axis == "y" and r.label), key=lambda r: r.at):
        place = min(TOP + plot.y(rule.at) + 4, place - LABEL_GAP)
        at = Label(LEFT + plot.width + 6, round(place, 1), rule.label, rule.group, chart.y.place(rule.at))
        found.append(at)
    return tuple(found)


def _names(chart: Chart, plot: _Plot) -> tuple[Name, ...]:
    """Beside their points, on the side that has room; one above the other where points are close."""
    found: list[Name] = []
    for mark in sorted((m for m in chart.marks if m.name), key=lambda m: -m.y):
        x, y = plot.x(mark.x), plot.y(mark.y)
        side = -1 if x > plot.width * 0.6 else 1
        top = max((n.y + LABEL_GAP for n in found if abs(n.at_x - x) < CLOSE), default=-math.inf)
        text = mark.name if len(mark.name) <= MOST_NAME else f"{mark.name[:MOST_NAME]}…"
        place = round(max(TOP + y + 4, top), 1)
        found.append(Name(round(LEFT + x + side * 12, 1), place, text, "start" if side > 0 else "end", x, y))
    return tuple(found)


def _path(line: Line, plot: _Plot) -> str:
    parts: list[str] = []
    down = False
    for x, y in zip(line.x, line.y, strict=True):
        if not (math.isfinite(x) and math.isfinite(y)):
            down = False
            continue
        px, py = plot.x(x), plot.y(y)
        parts.append((f"H{px}V{py}" if line.steps else f"L{px},{py}") if down else f"M{px},{py}")
        down = True
    return "".join(parts)


@dataclass(frozen=True)
class DrawnBar:
    """A bar in pixels, its label shortened; ``text`` is all of it."""

    y: float
    width: float
    label: str
    value: str
    group: str
    text: str


@dataclass(frozen=True)
class DrawnBars:
    """Bars, drawn."""

    width: float
    height: float
    left: float
    bars: tuple[DrawnBar, ...]


def draw_bars(chart: Bars) -> DrawnBars:
    """Return the drawing of bars: the greatest share fills the width."""
    greatest = max((bar.share for bar in chart.bars), default=1.0) or 1.0
    room = WIDTH - BAR_LEFT - BAR_RIGHT
    drawn = tuple(
        DrawnBar(
            round(number * BAR_HEIGHT, 1),
            round(max(0.0, bar.share) / greatest * room, 1),
            bar.label if len(bar.label) <= MOST_NAME else f"{bar.label[:14]}…{bar.label[15 - MOST_NAME :]}",
            bar.value,
            bar.group,
            f"{bar.label}: {bar.value}",
        )
        for number, bar in enumerate(chart.bars)
    )
    return DrawnBars(WIDTH, len(drawn) * BAR_HEIGHT, BAR_LEFT, drawn)
