"""ONNX Runtime's own file format, `.ort`: loaded by minimal builds, and faster, as its optimisations are done here."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .host import HostSession

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile


def to_ort(model: bytes, target: TargetProfile) -> bytes:
    """Return ``model`` as an ORT file, optimised as the target's profile says.

    The NCHWc layout is left out, since its block size is this host's; and for ARM int8 x int8 fusions are allowed, as
    in onnxruntime.tools.convert_onnx_models_to_ort.
    """
    config = dict(target.runtime.config)
    if target.device.architecture != "x86_64":
        config.setdefault("session.qdqisint8allowed", "1")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.ort"
        HostSession(
            model, optimization=target.runtime.optimization, config=config, save_as=made, disabled=["NchwcTransformer"]
        )
        return made.read_bytes()
