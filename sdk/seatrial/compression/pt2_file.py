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

    cut_loose(program)
    stream = io.BytesIO()
    extra = {NOTE: json.dumps(note, sort_keys=True)} if note else None
    with quiet():
        try:
            torch.export.save(program, stream, extra_files=extra)
        except Exception as error:  # torch's serializer raises a dozen classes of its own
            raise HarnessError(f"{path}: torch can't write the model: {type(error).__name__}: {error}") from error
    write_atomic(path, stream.getvalue())


def cut_loose(program: torch.export.ExportedProgram) -> None:
    """Give each tensor that is a part of a larger one memory of its own, in place.

    torch writes all of the memory behind a tensor: with ``images[:1]`` as example input, every image.
    """
    from torch.utils import _pytree

    made: dict[Any, torch.Tensor] = {}  # weights that are one stay one
    for held in (program.state_dict, program.constants):
        held.update({name: _alone(value, made) for name, value in held.items()})
    if program.example_inputs is not None:
        program.example_inputs = _pytree.tree_map(lambda value: _alone(value, made), program.example_inputs)


def _alone(value: Any, made: dict[Any, torch.Tensor]) -> Any:
    import torch

    if not isinstance(value, torch.Tensor) or value.layout is not torch.strided:
        return value
    storage = value.untyped_storage()
    if storage.nbytes() <= value.numel() * value.element_size():
        return value
    key = (storage.data_ptr(), value.storage_offset(), value.shape, value.stride())
    own = made.setdefault(key, value.detach().clone())
    return torch.nn.Parameter(own, value.requires_grad) if isinstance(value, torch.nn.Parameter) else own


def read_program(path: Path) -> torch.export.ExportedProgram:
    """Return the program in a `.pt2`; one that would run code is refused. Raises ModelError."""
    program = load_pt2(path).program
    if program is None:
        raise ModelError(f"{path}: holds no exported program")
    return program
