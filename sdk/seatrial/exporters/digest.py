"""The identity of a model: sha256 over its captured graph and its weights."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from ..source import ModelSource


def model_digest(source: ModelSource) -> str:
    """Return the sha256 (hex) of ``source`` captured at its example shapes. It depends on torch's version, since the
    names of graph operators do, and on nothing of the machine."""
    from .capture import capture

    return program_digest(source.program or capture(source, None, source.inputs))


def program_digest(program: torch.export.ExportedProgram) -> str:
    """Return the sha256 (hex) of a captured program: operators, arguments, names, then every weight's bytes."""
    digest = hashlib.sha256()
    for node in program.graph.nodes:
        digest.update(f"{node.op} {node.name} {node.target} {node.args} {node.kwargs}\n".encode())
    tensors = {**program.state_dict, **program.constants}
    for name in sorted(tensors):
        digest.update(_header(name, tensors[name]))
        digest.update(tensor_bytes(tensors[name]))
    return digest.hexdigest()


def weights_digest(module: torch.nn.Module) -> str:
    """Return the sha256 (hex) over names and bytes of all weights and buffers."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(_header(name, value))
        digest.update(tensor_bytes(value))
    return digest.hexdigest()


def _header(name: str, value: Any) -> bytes:
    return f"{name} {getattr(value, 'dtype', type(value).__name__)} {list(getattr(value, 'shape', ()))}\n".encode()


def tensor_bytes(value: Any) -> memoryview | bytes:
    """Return the bytes of a tensor, in C order; nothing for what is no tensor."""
    import torch

    if not isinstance(value, torch.Tensor):
        return b""
    flat = value.detach().cpu().contiguous().reshape(-1)
    data: memoryview = flat.view(torch.uint8).numpy().data
    return data
