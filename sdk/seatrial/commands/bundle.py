"""seatrial bundle: look into what export made."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import deployability
from .command import Group
from .options import FOLDER
from .progress import shown_steps
from .screen import Screen

if TYPE_CHECKING:
    from seatrial_runner.bundle import Bundle

LAYERS_FILE = "layers.json"  # of `seatrial.exporters.tensorrt.layers`, whose imports are heavy
EACH_OUTPUT = "golden_sqnr_db."  # how keys of a manifest's parity begin that are of one output


@click.group(cls=Group)
def bundle() -> None:
    """Look into a bundle, verify it."""


@bundle.command()
@click.argument("path", type=FOLDER)
@click.pass_obj
def show(screen: Screen, path: Path) -> None:
    """Show what the bundle at PATH holds, after verifying it."""
    import json

    from seatrial_runner.bundle import Bundle
    from seatrial_targets.units import format_size

    opened = Bundle.open(path)
    manifest = opened.manifest
    body = json.loads(manifest.model_dump_json(by_alias=True))
    record = deployability.recorded(opened)
    found = {} if record is None else {"deployability": record}
    screen.document({"path": str(path), "digest": opened.digest, "manifest": body, **found})
    screen.table(("", ""), _facts(opened))
    screen.line()
    tensors = [("input", t) for t in manifest.inputs] + [("output", t) for t in manifest.outputs]
    screen.table(
        ("", "name", "dtype", "shape"), [(k, t.name, t.dtype, "x".join(map(str, t.shape))) for k, t in tensors]
    )
    screen.line()
    files = [(entry.path, entry.role, format_size(entry.size_bytes), entry.sha256[:16]) for entry in manifest.files]
    screen.table(("file", "for", "size", "sha256"), files)
    if record is not None:
        deployability.show(screen, record)


def _facts(opened: Bundle) -> list[tuple[str, str]]:
    from seatrial_ci.stated import accuracy_text, parity_text
    from seatrial_targets.units import format_size

    manifest = opened.manifest
    return [
        ("name", manifest.name),
        ("target", f"{manifest.target} ({manifest.runtime}, {manifest.precision})"),
        ("digest", opened.digest),
        ("size", format_size(manifest.size_bytes)),
        ("parity with torch", parity_text(manifest.parity, unchecked=manifest.parity_unchecked)),
        *(("parity of each output", text) for text in _each_output(manifest.parity)),
        ("accuracy", accuracy_text(manifest.accuracy)),
        ("weights", ", ".join(f"{count} {kind}" for kind, count in manifest.precision_summary.items()) or "-"),
        ("licence", manifest.weights_licence or "not stated"),
        ("made with", ", ".join(f"{k} {v}" for k, v in manifest.toolchain.items())),
        *(("note", note) for note in manifest.notes),
    ]


def _each_output(parity: Mapping[str, float]) -> list[str]:
    """What an exporter found for each of several outputs, on the example inputs."""
    found = {key.removeprefix(EACH_OUTPUT): value for key, value in parity.items() if key.startswith(EACH_OUTPUT)}
    return [", ".join(f"{name} {value:.1f} dB" for name, value in found.items())] if found else []


@bundle.command()
@click.argument("path", type=FOLDER)
@click.option("--most", default=10, show_default=True, metavar="N", help="How many layers to show.")
@click.option("--source", metavar="SOURCE", help="What the bundle was exported from, which Core ML bundles need.")
@click.pass_obj
def layers(screen: Screen, path: Path, most: int, source: str | None) -> None:
    """Show which layers of the bundle at PATH lose most against torch, the worst first.

    An int8 bundle for TensorRT holds its figures. A Core ML bundle is executed here beside its SOURCE, operation by
    operation, and the first one that departs from torch is named.
    """
    from seatrial_runner.bundle import Bundle

    opened = Bundle.open(path)
    document = _compared(opened, source) if opened.manifest.runtime == "coreml" else _recorded_layers(opened)
    screen.document(document)
    worst = sorted(document["layers"], key=lambda each: float(each["own_db"]))
    rows = [(each["name"], *(_db(each[key]) for key in ("own_db", "after_db", "gain_db"))) for each in worst[:most]]
    screen.table(("layer", "its own noise", "with all before it", "outputs gain if it stays float"), rows, whole=1)
    screen.line()
    _explain(screen, document)


def _recorded_layers(opened: Bundle) -> dict[str, Any]:
    import json

    from seatrial_targets.errors import UserError

    if LAYERS_FILE not in {entry.path for entry in opened.manifest.files}:
        raise UserError(f"{opened.path}: has no figures of its layers; int8 bundles for TensorRT have them")
    found: dict[str, Any] = json.loads(opened.file(LAYERS_FILE).read_bytes())
    return found


def _compared(opened: Bundle, source: str | None) -> dict[str, Any]:
    from seatrial_targets.errors import UserError

    if source is None:
        raise UserError(
            f"{opened.path}: a Core ML bundle is compared with what it was exported from: name it, --source"
        )
    from seatrial.exporters.coreml.departure import departures
    from seatrial.source import load_source

    with shown_steps() as stage:
        return departures(opened, load_source(source), stage)


def _explain(screen: Screen, document: Mapping[str, Any]) -> None:
    if "departs" not in document:
        screen.line(
            "dB of signal to noise on calibration samples; less is worse. `seatrial export --keep-float MODULE` spares "
            "one."
        )
        return
    pairs, first = f"{len(document['layers'])} of {document['operations']} operations", document["departs"]
    screen.line(f"dB of signal to noise on the example inputs; less is worse. {pairs} have their node in torch.")
    screen.line(
        f"no output departs from torch (all are above {document['limit_db']:g} dB)"
        if first is None
        else f"the first to depart from torch (below {document['limit_db']:g} dB): {first['op']} {first['name']!r}, "
        f"{first['after_db']:.1f} dB, of which its own {first['own_db']:.1f} dB"
    )


def _db(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} dB"


@bundle.command()
@click.argument("paths", nargs=-1, required=True, type=FOLDER)
@click.pass_obj
def verify(screen: Screen, paths: tuple[Path, ...]) -> None:
    """Verify every file of the bundles at PATHS by its sha256."""
    from seatrial_runner.bundle import Bundle

    opened = [Bundle.open(path) for path in paths]
    screen.document([{"path": str(each.path), "digest": each.digest, "ok": True} for each in opened])
    for each in opened:
        screen.line(
            f"{each.path}: all {len(each.manifest.files)} files are as they were written (digest {each.digest[:16]})"
        )
