"""What an ONNX file answers in ONNX Runtime, and how good that is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seatrial.exporters.host import HostSession
from seatrial.exporters.parity import sqnr_db

Array = np.ndarray[Any, Any]


def answers(path: Path, images: Array) -> Array:
    """Return the first output of a model with one input for each image, in batches of one, on one thread."""
    session = HostSession(path, threads=1)
    name = next(iter(session.described()[0]))
    return np.concatenate([next(iter(session.run({name: each[None]}).values())) for each in images])


def top1_of(found: Array, reference: Array, labels: Array) -> dict[str, Any]:
    """Return top-1, agreement of top-1 with the reference, and SQNR in dB against it (None: it is the same)."""
    same = np.array_equal(found, reference)
    return {
        "top1": float((found.argmax(1) == labels).mean()),
        "agreement": float((found.argmax(1) == reference.argmax(1)).mean()),
        "sqnr_db": None if same else sqnr_db(reference, found),
    }
