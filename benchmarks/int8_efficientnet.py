"""EfficientNet-Lite0 as FP32 and INT8 on this host's CPU: sizes, parity with torch, and what the export cost.

    python -m benchmarks.int8_efficientnet [--out FOLDER] [--crops 100]

Prints one JSON object. The bundles stay in FOLDER, to be measured with `seatrial gate`. Beside parity on the model's
own 60 checks, top-1 of each artifact is compared with FP32's on so many crops of each photograph that set no range.
INT8 is there twice: as the exporter makes it, and by the recipe `quantize: {rounding: adaptive}`.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.classic.artifacts import answers

import seatrial
from seatrial.compression.quantization.settings import Quantize
from seatrial.demo import efficientnet_lite0
from seatrial.exporters import export
from seatrial.source import ModelSource
from seatrial_runner.bundle import Bundle
from seatrial_targets import registry

SEED = 5000  # other crops than those of the model's checks
TARGETS = ("x86-64-cpu-fp32", "x86-64-cpu-fp16", "x86-64-cpu-int8")
ADAPTIVE = "x86-64-cpu-int8, adaptive rounding"


def main() -> None:
    """Export for each of TARGETS and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="folder for the bundles; default: a temporary one")
    parser.add_argument("--crops", type=int, default=100, help="of each photograph, for the agreement with FP32")
    arguments = parser.parse_args()
    out = arguments.out
    with tempfile.TemporaryDirectory() as temporary:
        source = efficientnet_lite0.build()
        rows = {name: exported(source, name, out or Path(temporary)) for name in TARGETS}
        rows[ADAPTIVE] = exported(source, TARGETS[-1], out or Path(temporary), Quantize(rounding="adaptive"))
        for photograph in (*efficientnet_lite0.LABELLED, *efficientnet_lite0.UNLABELLED):
            for name, part in agreement(rows, photograph, arguments.crops).items():
                rows[name].setdefault("agreement", {})[photograph] = part
    largest = rows[TARGETS[0]]["size_bytes"]
    for row in rows.values():
        row["size_ratio"] = round(largest / row["size_bytes"], 2)
    print(json.dumps(rows, indent=1))


def agreement(rows: dict[str, dict[str, Any]], photograph: str, count: int) -> dict[str, float]:
    """Return, for each target, the part of ``count`` random crops whose most likely class is that of FP32."""
    crops = np.concatenate(list(efficientnet_lite0._crops(photograph, count, seed=SEED)))
    found = {name: answers(Path(row["artifact"]), crops).argmax(1) for name, row in rows.items()}
    return {name: round(float((each == found[TARGETS[0]]).mean()), 4) for name, each in found.items()}


def exported(source: ModelSource, target: str, out: Path, *steps: Quantize) -> dict[str, Any]:
    """Compress and export once; return sizes, parity, accuracy, time, and the peak memory of this process so far."""
    start = time.monotonic()
    if steps:
        source, out = seatrial.compress(source, list(steps), targets=[target]).source, out / "recipe"
    bundle = Bundle.open(export(source, registry.get(target), out))
    manifest = bundle.manifest
    return {
        "artifact": str(bundle.file(manifest.artifact)),
        "size_bytes": manifest.size_bytes,
        "precision_summary": manifest.precision_summary,
        "parity": manifest.parity,
        "accuracy": manifest.accuracy,
        "tolerance": manifest.outputs[0].tolerance,
        "seconds": round(time.monotonic() - start, 1),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    main()
