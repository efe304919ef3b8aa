"""Exported programs on disk: written whole or not at all, with what made them, and read without running code."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.atomic import write_atomic
from seatrial_targets.errors import HarnessError, ModelError

from ..exporters.noise import quiet
from ..exporters.pt2 import NOTE, load_pt2

if TYPE_CHECKING:
    import torch


def write_program(program: torch.export.ExportedProgram, path: Path, note: dict[str, Any] | None = None) -> None:
    """Write ``program`` as a `.pt2`, with ``note`` (see exporters/pt2.py) in it. Raises HarnessError."""
    import torch

    stream = io.BytesIO()
    extra = {NOTE: json.dumps(note, sort_keys=True)} if note else None
    with quiet():
        try:
            torch.export.save(program, stream, extra_files=extra)
        except Exception as error:  # torch's serializer raises a dozen classes of its own
            raise HarnessError(f"{path}: torch can't write the model: {type(error).__name__}: {error}") from error
    write_atomic(path, stream.getvalue())


def read_program(path: Path) -> torch.export.ExportedProgram:
    """Return the program in a `.pt2`; one that would run code is refused. Raises ModelError."""
    program = load_pt2(path).program
    if program is None:
        raise ModelError(f"{path}: holds no exported program")
    return program
