"""An analysis as a drawing: a row for each layer, with what it loses and what it costs."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .record import Analysis, LayerFigures

WIDTH, ROW, TOP, BOTTOM, NAMES = 900, 16, 48, 16, 260
SQNR_AT, SQNR_WIDE, WORK_AT, WORK_WIDE = 270, 400, 700, 180
MOST_DB = 60.0  # better than that nobody sees
MOST_ROWS = 400
_TEXT = "font-family='sans-serif' font-size='11' fill='#222'"


def analysis_svg(analysis: Analysis) -> str:
    """Return an SVG: for each layer the SQNR when it alone is INT8 (dot) and in the whole INT8 model (tick), and its
    part of the work (bar); layers that make up half of the noise are red."""
    rows = analysis.layers[:MOST_ROWS]
    height = TOP + ROW * len(rows) + BOTTOM
    largest = max((each.macs for each in rows), default=0) or 1
    parts = [_head(analysis, height)]
    for index, layer in enumerate(rows):
        parts.append(_row(layer, TOP + ROW * index, layer.path in analysis.hurting, largest))
    body = "".join(parts)
    return f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' role='img'>{body}</svg>\n"


def _head(analysis: Analysis, height: int) -> str:
    left_out = len(analysis.layers) - MOST_ROWS
    more = f"; the first {MOST_ROWS} of {len(analysis.layers)} layers" if left_out > 0 else ""
    ticks = "".join(
        f"<line x1='{_x(db):.0f}' x2='{_x(db):.0f}' y1='{TOP - 6}' y2='{height - BOTTOM}' stroke='#ddd'/>"
        f"<text x='{_x(db):.0f}' y='{TOP - 10}' text-anchor='middle' {_TEXT}>{db:.0f} dB</text>"
        for db in (0.0, 20.0, 40.0, MOST_DB)
    )
    return (
        f"<rect width='{WIDTH}' height='{height}' fill='white'/>"
        f"<text x='8' y='18' {_TEXT}>{escape(analysis.name)}: SQNR in INT8, alone (dot) and in the whole model (tick)"
        f"{more}</text><text x='{WORK_AT}' y='{TOP - 10}' {_TEXT}>multiply-accumulates</text>{ticks}"
    )


def _row(layer: LayerFigures, y: int, hurts: bool, largest: int) -> str:
    colour = "#b33" if hurts else "#336"
    middle = y + ROW / 2
    name = layer.path if len(layer.path) <= 42 else "..." + layer.path[-39:]
    parts = [f"<text x='{NAMES}' y='{middle + 4:.0f}' text-anchor='end' {_TEXT}>{escape(name)}</text>"]
    if layer.alone_sqnr_db is not None:
        label = escape(f"{layer.path}: alone {layer.alone_sqnr_db:.1f} dB")
        parts.append(
            f"<circle cx='{_x(layer.alone_sqnr_db):.1f}' cy='{middle}' r='4' fill='{colour}'><title>{label}</title>"
            "</circle>"
        )
    if layer.output_sqnr_db is not None:
        x = _x(layer.output_sqnr_db)
        label = escape(f"{layer.path}: in the whole model {layer.output_sqnr_db:.1f} dB")
        parts.append(
            f"<rect x='{x - 1:.1f}' y='{y + 3}' width='2' height='{ROW - 6}' fill='#777'><title>{label}</title></rect>"
        )
    wide = WORK_WIDE * layer.macs / largest
    label = escape(f"{layer.path}: {layer.macs / 1e6:.2f} M")
    parts.append(
        f"<rect x='{WORK_AT}' y='{y + 3}' width='{wide:.1f}' height='{ROW - 6}' fill='#9ab'><title>{label}</title>"
        "</rect>"
    )
    return "".join(parts)


def _x(db: float) -> float:
    return SQNR_AT + SQNR_WIDE * min(max(db, 0.0), MOST_DB) / MOST_DB
