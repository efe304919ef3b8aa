"""Checkpoints without pickle: one safetensors file, whose header holds the structure as JSON.

Format 1: a tree of mappings, lists, texts, numbers, None and tensors. A tensor is stored as `t<i>` and stands in the
tree as {"t": i}; a mapping as {"m": [[key, value], ...]}, since optimisers key their state by whole numbers; a tuple as
{"u": [...]}. Lists and scalars stand for themselves.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from seatrial_targets.atomic import write_atomic
from seatrial_targets.errors import ModelError

FORMAT = "seatrial-training-1"


def save_checkpoint(path: Path, tree: Any) -> None:
    """Write ``tree`` to ``path``, atomically. Raises HarnessError when the disk refuses, TypeError for a foreign
    object in the tree."""
    from safetensors.torch import save

    tensors: list[torch.Tensor] = []
    text = json.dumps(_packed(tree, tensors))
    # Clones, since safetensors refuses tensors that share memory, as tied weights do.
    stored = {f"t{i}": each.detach().cpu().contiguous().clone() for i, each in enumerate(tensors)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, save(stored, metadata={"format": FORMAT, "tree": text}))


def load_checkpoint(path: Path) -> Any:
    """Return the tree in ``path``, tensors on the CPU. Raises ModelError for a missing, damaged or foreign file."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise ModelError(f"{path}: there is no checkpoint to resume from")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise ModelError(f"{path}: is no checkpoint of this version of Seatrial; train from the start")
            return _unpacked(json.loads(header["tree"]), file)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: the checkpoint is damaged ({error}); delete it and train from the start") from error


def _packed(value: Any, tensors: list[torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors.append(value)
        return {"t": len(tensors) - 1}
    if isinstance(value, dict):
        return {"m": [[key, _packed(each, tensors)] for key, each in value.items()]}
    if isinstance(value, tuple):
        return {"u": [_packed(each, tensors) for each in value]}
    if isinstance(value, list):
        return [_packed(each, tensors) for each in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a checkpoint can't hold a {type(value).__name__}")


def _unpacked(value: Any, file: Any) -> Any:
    if isinstance(value, list):
        return [_unpacked(each, file) for each in value]
    if not isinstance(value, dict):
        return value
    (kind, content), *_ = value.items()
    if kind == "t":
        return file.get_tensor(f"t{content}")
    if kind == "u":
        return tuple(_unpacked(each, file) for each in content)
    return {key: _unpacked(each, file) for key, each in content}
