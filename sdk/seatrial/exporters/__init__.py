"""Export: from a model source and a target to a bundle on disk."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from seatrial_targets.errors import ExportError, UnknownNameError

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile

    from ..source import ModelSource

Progress = Callable[[str], None]

TABLE = {
    "onnxruntime": "seatrial.exporters.onnxruntime:OnnxRuntimeExporter",
    "coreml": "seatrial.exporters.coreml:CoreMLExporter",
    "tensorrt": "seatrial.exporters.tensorrt.exporter:TensorRTExporter",
}


class Exporter(Protocol):
    """Makes a bundle of a model source for one runtime."""

    def export(
        self,
        source: ModelSource,
        target: TargetProfile,
        out: Path,
        *,
        name: str,
        log: Path | None,
        on_progress: Progress,
        recipe_digest: str = "",
    ) -> Path:
        """Write the bundle at ``out`` and return it. Raises ExportError or ModelError."""
        ...


def export(
    source: ModelSource,
    target: TargetProfile,
    out: Path,
    *,
    on_progress: Progress | None = None,
    name: str | None = None,
    log: Path | None = None,
    recipe_digest: str = "",
) -> Path:
    """Export ``source`` for ``target`` as the bundle ``out/NAME.TARGET`` and return that folder.

    ``name`` defaults to the source's; it is a file name. An older bundle of that name is replaced. ``on_progress`` is
    called with the name of each stage. When the model can't be exported, ``log`` (a file) receives the whole text of
    the underlying error. ``recipe_digest`` names the compression recipe that made the model, else the source's does.

    Raises ExportError (the model, for this target) or ModelError (the model by itself).
    """
    exporter = exporter_for(target)
    from .onnx_nbits import refuse_groups

    refuse_groups(source, target.runtime.name)
    chosen = _checked_name(name or source.name or "model")
    folder = Path(out) / f"{chosen}.{target.name}"
    told = on_progress or (lambda _stage: None)
    digest = recipe_digest or source.recipe_digest
    return exporter.export(source, target, folder, name=chosen, log=log, on_progress=told, recipe_digest=digest)


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        raise ExportError(f"{name!r} can't name a bundle: use letters, digits, and . _ - inside, 100 at most")
    return name


def exporter_for(target: TargetProfile) -> Exporter:
    """Return the exporter of the target's runtime. Raises UnknownNameError when this version has none."""
    runtime = target.runtime.name
    if runtime not in TABLE:
        raise UnknownNameError("runtime", runtime, TABLE)
    module, _, cls = TABLE[runtime].partition(":")
    exporter: Exporter = getattr(importlib.import_module(module), cls)()
    return exporter
