"""The trade-off curve as a drawing: quality over latency, one dot for each assignment, the chosen one marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 70, 20, 40, 60
_STYLE = "font-family='sans-serif' font-size='12' fill='#222'"


def curve_svg(details: Mapping[str, Any]) -> str:
    """Return an SVG of the curve in a step's ``details`` (see `MixedPrecisionStep`): points, chosen, metric, cost."""
    points = list(details["points"])
    xs, ys = [float(each["latency"]) for each in points], [float(each["quality"]) for each in points]
    reference = details.get("float_latency")
    scale_x, scale_y = (
        _scale(xs + ([float(reference)] if reference else []), LEFT, WIDTH - RIGHT),
        _scale(ys, HEIGHT - BOTTOM, TOP),
    )
    parts = [_axes(details), *_ticks(xs, ys, scale_x, scale_y)]
    if reference:
        x = scale_x(float(reference))
        parts.append(
            f"<line x1='{x:.1f}' x2='{x:.1f}' y1='{TOP}' y2='{HEIGHT - BOTTOM}' stroke='#b33' stroke-dasharray='4'/>"
        )
        parts.append(f"<text x='{x - 4:.1f}' y='{TOP + 12}' text-anchor='end' {_STYLE}>float model</text>")
    for point in points:
        is_chosen = [point["float_layers"], point.get("half_layers", [])] == [
            details["chosen"],
            details.get("chosen_half", []),
        ]
        parts.append(_dot(point, is_chosen, scale_x, scale_y))
    body = "".join(parts)
    return f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' role='img'>{body}</svg>\n"


def _scale(values: Sequence[float], first: float, last: float) -> Any:
    low, high = min(values), max(values)
    margin = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    low, high = low - margin, high + margin
    return lambda value: first + (value - low) / (high - low) * (last - first)


def _axes(details: Mapping[str, Any]) -> str:
    bottom, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    unit = {"sqnr": "SQNR, dB", "divergence": "minus divergence, nats"}.get(details["metric"], details["metric"])
    how = "measured" if details["cost"] == "measured" else "ESTIMATED from multiply-accumulates"
    return (
        f"<rect width='{WIDTH}' height='{HEIGHT}' fill='white'/>"
        f"<path d='M{LEFT},{TOP}V{bottom}H{WIDTH - RIGHT}' fill='none' stroke='#222'/>"
        f"<text x='{LEFT}' y='20' {_STYLE}>Mixed precision: layers kept in float</text>"
        f"<text x='{(LEFT + WIDTH) / 2}' y='{HEIGHT - 14}' text-anchor='middle' {_STYLE}>"
        f"latency, multiple of all-INT8 ({how})</text>"
        f"<text x='16' y='{middle}' text-anchor='middle' transform='rotate(-90 16 {middle})' {_STYLE}>"
        f"{escape(unit)}</text>"
    )


def _ticks(xs: Sequence[float], ys: Sequence[float], scale_x: Any, scale_y: Any) -> list[str]:
    bottom = HEIGHT - BOTTOM
    wide = [
        f"<text x='{scale_x(x):.1f}' y='{bottom + 18}' text-anchor='middle' {_STYLE}>{x:.3g}</text>" for x in _ends(xs)
    ]
    high = [
        f"<text x='{LEFT - 6}' y='{scale_y(y) + 4:.1f}' text-anchor='end' {_STYLE}>{y:.3g}</text>" for y in _ends(ys)
    ]
    return wide + high


def _ends(values: Sequence[float]) -> list[float]:
    return sorted({min(values), max(values)})


def _dot(point: Mapping[str, Any], chosen: bool, scale_x: Any, scale_y: Any) -> str:
    x, y = scale_x(float(point["latency"])), scale_y(float(point["quality"]))
    low, high = point.get("low"), point.get("high")
    bar = ""
    if low is not None and high is not None:
        ends = f"x1='{scale_x(float(low)):.1f}' x2='{scale_x(float(high)):.1f}'"
        bar = f"<line {ends} y1='{y:.1f}' y2='{y:.1f}' stroke='#88a'/>"
    layers = [*point["float_layers"], *(f"{each} (float16)" for each in point.get("half_layers", ()))]
    title = escape(", ".join(layers) if layers else "all INT8")
    colour, size = ("#b33", 7) if chosen else ("#336", 4)
    return (
        f"{bar}<circle cx='{x:.1f}' cy='{y:.1f}' r='{size}' fill='{colour}'><title>{title}</title></circle>"
        f"<text x='{x + 8:.1f}' y='{y - 6:.1f}' {_STYLE}>{len(layers)}</text>"
    )
