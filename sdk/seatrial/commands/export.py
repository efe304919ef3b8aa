"""seatrial export: a model source and a target make a bundle."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial_targets.errors import UserError

from .command import Command
from .options import FOLDER, complete_targets
from .progress import shown_steps
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_runner.bundle import Bundle

NEEDED = ("torch", "onnx", "onnxscript", "onnxruntime")  # of the extra [export]


@click.command(cls=Command)
@click.argument("source")
@click.option("--target", required=True, metavar="NAME", shell_complete=complete_targets, help="Target to export for.")
@click.option("--out", type=FOLDER, default=Path("bundles"), show_default=True, help="Folder to put the bundle into.")
@click.option("--name", default="", metavar="NAME", help="Name of the bundle.  [default: the model's]")
@click.pass_obj
def export(screen: Screen, source: str, target: str, out: Path, name: str) -> None:
    """Export SOURCE, which is `module:factory`, `file.py:factory` or a `.pt2` file, for a target."""
    from seatrial import api

    _need_extra()
    with shown_steps() as stage:
        bundle = api.export(source, target, out, name=name, on_progress=stage)
    screen.document(described(bundle))
    _say(screen, bundle)


def _need_extra() -> None:
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise UserError(
            f"export needs {', '.join(absent)}, which is not installed; run: pip install 'seatrial[export]'"
        )


def described(bundle: Bundle) -> dict[str, Any]:
    """Return what a program needs to know of a bundle, as JSON."""
    manifest = bundle.manifest
    kept = ("name", "target", "runtime", "precision", "artifact", "size_bytes", "parity", "accuracy", "toolchain")
    return {
        "path": str(bundle.path),
        "digest": bundle.digest,
        **{key: getattr(manifest, key) for key in kept},
        "precision_summary": manifest.precision_summary,
        "weights_licence": manifest.weights_licence,
        "notes": list(manifest.notes),
    }


def parity_text(parity: dict[str, float]) -> str:
    """Return the parity figures of a manifest as a person reads them."""
    shown: dict[str, Callable[[float], str]] = {
        "sqnr_db": lambda v: f"SQNR {v:.1f} dB",
        "top1_agreement": lambda v: f"top-1 agreement {v * 100:.1f} %",
        "max_abs": lambda v: f"largest error {v:.3g}",
        "images": lambda v: f"on {v:.0f} samples",
        "samples": lambda v: f"on {v:.0f} samples",
    }
    return ", ".join(say(parity[key]) for key, say in shown.items() if key in parity) or "not measured"


def _say(screen: Screen, bundle: Bundle) -> None:
    from seatrial_targets.units import format_size

    manifest = bundle.manifest
    screen.line(f"bundle  {bundle.path}")
    screen.line(f"size    {format_size(manifest.size_bytes)} ({manifest.precision}, {manifest.runtime})")
    screen.line(f"parity  {parity_text(manifest.parity)} against torch")
    if manifest.accuracy:
        screen.line("quality " + ", ".join(f"{key} {value:.4g}" for key, value in manifest.accuracy.items()))
    for note in manifest.notes:
        screen.line(f"note    {note}")
