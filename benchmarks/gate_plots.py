"""Small SVG pictures of the gate's benchmarks, without a plotting library: a few kB each, for light and dark."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

WIDTH, PANEL, LEFT, TOP, RIGHT, BOTTOM = 720, 260, 56, 34, 130, 36
COLOURS = ("#2a78d6", "#d1495b", "#2e9e6b", "#b8860b", "#7d5ba6", "#6b7280")
STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#333}.h{font-weight:600;font-size:13px}.g{stroke:#8884;stroke-width:1}"
    ".goal{stroke:#d1495b;stroke-dasharray:4 3}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}svg{background:#161616}}"
)
Scale = Callable[[float], float]
Line = Sequence[tuple[float, float]]


def save(path: Path, picture: str) -> None:
    """Write a picture; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture)


def document(panels: Sequence[str], title: str) -> str:
    """Return panels below each other as one picture with a title that screen readers say."""
    height = PANEL * len(panels)
    body = "".join(f'<g transform="translate(0 {PANEL * i})">{panel}</g>' for i, panel in enumerate(panels))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
    return f"{head}<title>{escape(title)}</title><style>{STYLE}</style>{body}</svg>\n"


def lines(
    title: str,
    x_label: str,
    series: Mapping[str, Line],
    x: tuple[float, float],
    y: tuple[float, float],
    ticks: tuple[Sequence[float], Sequence[float]],
    goals: Sequence[float] = (),
) -> str:
    """Return a panel of lines with points. ``ticks``: those of x and of y; ``goals``: dashed heights."""
    to_x, to_y = _scale(x, LEFT, WIDTH - RIGHT), _scale(y, PANEL - BOTTOM, TOP)
    parts = [f'<text class="h" x="{LEFT}" y="18">{escape(title)}</text>']
    parts += _grid(ticks, to_x, to_y, x, x_label)
    parts += [
        f'<line class="goal" x1="{to_x(x[0]):.1f}" x2="{to_x(x[1]):.1f}" y1="{to_y(g):.1f}" y2="{to_y(g):.1f}"/>'
        for g in goals
    ]
    for number, (name, points) in enumerate(series.items()):
        parts += _line(name, points, COLOURS[number % len(COLOURS)], number, to_x, to_y)
    return "".join(parts)


def _scale(span: tuple[float, float], low: float, high: float) -> Scale:
    return lambda value: low + (value - span[0]) / (span[1] - span[0]) * (high - low)


def _grid(
    ticks: tuple[Sequence[float], Sequence[float]], to_x: Scale, to_y: Scale, x: tuple[float, float], label: str
) -> Iterator[str]:
    for tick in ticks[1]:
        y = to_y(tick)
        yield f'<line class="g" x1="{to_x(x[0]):.1f}" x2="{to_x(x[1]):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>'
    for tick in ticks[0]:
        yield f'<text x="{to_x(tick):.1f}" y="{PANEL - BOTTOM + 16}" text-anchor="middle">{tick:g}</text>'
    yield f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{PANEL - 5}" text-anchor="middle">{escape(label)}</text>'


def _line(name: str, points: Line, colour: str, number: int, to_x: Scale, to_y: Scale) -> Iterator[str]:
    placed = [(to_x(x), to_y(y)) for x, y in points]
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    yield f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>'
    yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed)
    y = TOP + 8 + 18 * number
    yield f'<rect x="{WIDTH - RIGHT + 10}" y="{y - 8}" width="10" height="10" fill="{colour}"/>'
    yield f'<text x="{WIDTH - RIGHT + 25}" y="{y + 1}">{escape(name)}</text>'


def end_to_end(gates: Sequence[Mapping[str, Any]]) -> str:
    """Return the estimates of all gates, in the order in which they were run, a colour for each outcome."""
    outcomes = ("PASS", "FAIL", "INCONCLUSIVE", "INVALID")
    to_x = _scale((0, max(1, len(gates))), LEFT, WIDTH - RIGHT)
    low, high = -0.06, 0.16
    to_y = _scale((low, high), PANEL * 2 - BOTTOM, TOP)
    parts = [f'<text class="h" x="{LEFT}" y="18">Estimate of each gate, % slower, by its true slow-down</text>']
    for tick in (-0.05, 0.0, 0.03, 0.05, 0.10, 0.15):
        y = to_y(tick)
        parts.append(f'<line class="g" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick * 100:g}</text>')
    ordered = sorted(enumerate(gates), key=lambda pair: (pair[1]["effect"], pair[0]))
    for place, (_, gate) in enumerate(ordered):
        if gate["value"] is not None:
            colour = COLOURS[outcomes.index(gate["outcome"])]
            y = to_y(min(high, max(low, gate["value"])))
            parts.append(f'<circle cx="{to_x(place + 0.5):.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>')
    for number, outcome in enumerate(outcomes):
        y = TOP + 8 + 18 * number
        parts.append(f'<rect x="{WIDTH - RIGHT + 10}" y="{y - 8}" width="10" height="10" fill="{COLOURS[number]}"/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 25}" y="{y + 1}">{outcome}</text>')
    return document(["".join(parts), ""], "Estimates of all gates by their true slow-down, coloured by outcome")
