"""seatrial analyze: what each layer of a model weighs, costs and loses in INT8."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import Command
from .compress import need_extra
from .files import prepare
from .options import FILE
from .progress import shown
from .screen import Screen

if TYPE_CHECKING:
    from seatrial.compression.analysis.record import Analysis, LayerFigures

COLUMNS = ("layer", "kind", "weight", "size", "MACs", "weight SQNR", "alone", "in the model", "noise")


@click.command(cls=Command)
@click.argument("source")
@click.option("--data", metavar="SOURCE", help="What a quantized .pt2 was made from: gives samples and the reference.")
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    metavar="N",
    help="Calibration samples used.",
)
@click.option("--out", type=FILE, metavar="FILE", help="Write the analysis as JSON.")
@click.option("--plot", type=FILE, metavar="FILE", help="Draw it, as SVG.")
@click.pass_obj
def analyze(screen: Screen, source: str, data: str | None, samples: int, out: Path | None, plot: Path | None) -> None:
    """Look at SOURCE (`module:factory`, `file.py:factory` or a `.pt2`) layer by layer: which ones hurt in INT8."""
    need_extra()
    prepare([out, plot])
    from seatrial import api
    from seatrial_targets.atomic import write_atomic

    with shown() as on_event:
        found = api.analyze(source, data=data, samples=samples, on_event=on_event)
    text = found.model_dump_json(by_alias=True, indent=1)
    if out is not None:
        write_atomic(out, text + "\n")
    if plot is not None:
        from seatrial.compression.analysis.plot import analysis_svg

        write_atomic(plot, analysis_svg(found))
    screen.document(json.loads(text))
    _say(screen, found)


def _say(screen: Screen, found: Analysis) -> None:
    from seatrial_targets.units import format_size

    screen.table(COLUMNS, [_row(each, found.macs) for each in found.layers], whole=1)
    whole = "" if found.sqnr_db is None else f"; in INT8 {found.sqnr_db:.1f} dB ({found.quantized})"
    screen.line(
        f"all       {found.parameters:,} parameters, {format_size(found.size_bytes)}, {found.macs / 1e6:,.1f} M "
        f"multiply-accumulates{whole}, on {found.samples} sample{'' if found.samples == 1 else 's'}"
    )
    if found.hurting:
        screen.line(f"hurting   half of the noise comes from: {', '.join(found.hurting)}")
        screen.line("          whether to leave them in float, their latency must say: see the step mixed_precision")
    for note in found.notes:
        screen.line(f"note      {note}")


def _row(layer: LayerFigures, macs: int) -> list[str]:
    from seatrial_targets.units import format_size

    share = "-" if layer.noise_share is None else f"{layer.noise_share * 100:.1f} %"
    return [
        layer.path,
        layer.kind,
        " x ".join(map(str, layer.weight_shape)),
        format_size(layer.size_bytes),
        f"{layer.macs / max(1, macs) * 100:.1f} %",
        *(
            "-" if db is None else f"{db:.1f} dB"
            for db in (layer.weight_sqnr_db, layer.alone_sqnr_db, layer.output_sqnr_db)
        ),
        share,
    ]
