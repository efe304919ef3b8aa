"""Seeds and states of every random generator that training draws from: Python's, numpy's, torch's on CPU and GPU."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def seed_all(seed: int) -> None:
    """Seed Python's, numpy's and torch's global generators."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch: the order of its data must not depend on what was drawn in earlier epochs, so that
    a resumed run can draw it again."""
    return (seed * 1_000_003 + epoch * 7_919 + 1) % 2**31


def random_state() -> dict[str, Any]:
    """Return the state of all generators as plain numbers and uint8 tensors."""
    version, internal, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    numpy_state = [str(name), [int(each) for each in keys], int(position), int(has_gauss), float(cached)]
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": [version, list(internal), gauss],
        "numpy": numpy_state,
        "torch": torch.get_rng_state(),
        "cuda": list(cuda),
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` returned."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


@contextmanager
def kept_random_state() -> Iterator[None]:
    """Context: the caller's generators are put back afterwards, so that training changes no other random number."""
    state = random_state()
    try:
        yield
    finally:
        restore_random_state(state)
