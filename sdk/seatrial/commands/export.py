"""seatrial export: a model source and a target make a bundle."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial_targets.errors import UserError

from .command import Command
from .files import prepare
from .options import FILE, FOLDER, complete_targets
from .progress import shown_steps
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_runner.bundle import Bundle

# What an export needs, and the extra that brings it; by runtime.
NEEDED = {
    "onnxruntime": ("export", ("torch", "onnx", "onnxscript", "onnxruntime")),
    "coreml": ("coreml", ("torch", "coremltools")),
}


@click.command(cls=Command)
@click.argument("source")
@click.option("--target", required=True, metavar="NAME", shell_complete=complete_targets, help="Target to export for.")
@click.option("--out", type=FOLDER, default=Path("bundles"), show_default=True, help="Folder to put the bundle into.")
@click.option("--name", default="", metavar="NAME", help="Name of the bundle.  [default: the model's]")
@click.option("--data", metavar="SOURCE", help="What a compressed .pt2 was made from: gives checks and the reference.")
@click.option("--log", type=FILE, metavar="FILE", help="Where the converter's whole error goes if there is one.")
@click.option("--keep-float", multiple=True, metavar="MODULE", help="Leave this module out of int8; may be repeated.")
@click.option("--keep-float32", multiple=True, metavar="NAME", help="Core ML: leave this out of float16, or auto.")
@click.pass_obj
def export(
    screen: Screen,
    source: str,
    target: str,
    out: Path,
    name: str,
    data: str | None,
    log: Path | None,
    keep_float: tuple[str, ...],
    keep_float32: tuple[str, ...],
) -> None:
    """Export SOURCE, which is `module:factory`, `file.py:factory`, a `.pt2` file or `hf:FOLDER`, for a target."""
    _need_extra(target)
    prepare([log])
    from seatrial import api

    with shown_steps() as stage:
        bundle = api.export(
            source, target, out, name=name, data=data, log=log,
            keep_float=keep_float, keep_float32=keep_float32, on_progress=stage,
        )  # fmt: skip
    screen.document(described(bundle))
    _say(screen, bundle)


def _need_extra(target: str) -> None:
    from seatrial_targets import registry

    extra, packages = NEEDED.get(registry.get(target).runtime.name, NEEDED["onnxruntime"])
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    if absent:
        raise UserError(
            f"export for {target} needs {', '.join(absent)}, which is not installed; "
            f"run: pip install 'seatrial[{extra}]'"
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


def _say(screen: Screen, bundle: Bundle) -> None:
    from seatrial_ci.stated import accuracy_text, parity_text
    from seatrial_targets.units import format_size

    manifest = bundle.manifest
    screen.line(f"bundle    {bundle.path}")
    screen.line(f"size      {format_size(manifest.size_bytes)} ({manifest.precision}, {manifest.runtime})")
    screen.line(f"parity    with torch: {parity_text(manifest.parity, unchecked=manifest.parity_unchecked)}")
    if manifest.accuracy:
        screen.line(f"accuracy  {accuracy_text(manifest.accuracy)}")
    for note in manifest.notes:
        screen.line(f"note      {note}")
