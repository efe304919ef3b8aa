"""The vectors in tests/data/apple: what every implementation of the contract has to answer, and to what.

Each names a job, the files that it refers to, a made-up device (``vector``), and the whole result (``expect``).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parents[2] / "data" / "apple"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name: str) -> dict[str, Any]:
    """Return a vector."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def write(vector: dict[str, Any], folder: Path) -> Path:
    """Write what an implementation gets into ``folder``: job.json, vector.json, .npy files."""
    folder.mkdir(parents=True, exist_ok=True)
    job = vector["job"]
    (folder / "job.json").write_text(job if isinstance(job, str) else json.dumps(job))
    (folder / "vector.json").write_text(json.dumps(vector["vector"]))
    for path, content in vector["files"].items():
        np.save(folder / path, np.array(content["values"], content["dtype"]).reshape(content["shape"]))
    return folder
