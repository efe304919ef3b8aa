"""Weights on disk, as safetensors: no pickle, and tied weights once."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial_targets.errors import HarnessError, UserError

if TYPE_CHECKING:
    import torch


def save_weights(module: torch.nn.Module, path: Path) -> None:
    """Write all parameters and buffers of ``module``, whole or not at all. Raises HarnessError."""
    from safetensors.torch import save_model

    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.touch()  # with the mode of a plain `open`; safetensors would make one that only its owner reads
        save_model(module, str(temporary))
        os.replace(temporary, path)
    except OSError as error:
        raise HarnessError(f"{path}: can't be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def load_weights(module: torch.nn.Module, path: Path) -> None:
    """Load what `save_weights` wrote into ``module``, in place. Raises UserError when names or shapes do not fit."""
    from safetensors import SafetensorError
    from safetensors.torch import load_model

    try:
        load_model(module, str(path))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path}: can't be read: {error}") from error
    except (RuntimeError, KeyError) as error:
        first = (str(error).strip().splitlines() or ["?"])[0]
        raise UserError(f"{path}: does not fit the model; was the model's code changed since? {first}") from error
