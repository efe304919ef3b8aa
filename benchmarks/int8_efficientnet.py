"""EfficientNet-Lite0 as FP32 and INT8 on this host's CPU: sizes, parity with torch, and what the export cost.

    python benchmarks/int8_efficientnet.py [--out FOLDER]

Prints one JSON object. The bundles stay in FOLDER, to be measured with `seatrial gate`.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from seatrial.demo import efficientnet_lite0
from seatrial.exporters import export
from seatrial.source import ModelSource
from seatrial_runner.bundle import Bundle
from seatrial_targets import registry

TARGETS = ("x86-64-cpu-fp32", "x86-64-cpu-fp16", "x86-64-cpu-int8")


def main() -> None:
    """Export for each of TARGETS and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=None, help="folder for the bundles; default: a temporary one")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as temporary:
        source = efficientnet_lite0.build()
        rows = {name: exported(source, name, out or Path(temporary)) for name in TARGETS}
    largest = rows[TARGETS[0]]["size_bytes"]
    for row in rows.values():
        row["size_ratio"] = round(largest / row["size_bytes"], 2)
    print(json.dumps(rows, indent=1))


def exported(source: ModelSource, target: str, out: Path) -> dict[str, Any]:
    """Export once; return sizes, parity, accuracy, wall time, and the peak memory of this process so far."""
    start = time.monotonic()
    manifest = Bundle.open(export(source, registry.get(target), out)).manifest
    return {
        "size_bytes": manifest.size_bytes,
        "precision_summary": manifest.precision_summary,
        "parity": manifest.parity,
        "accuracy": manifest.accuracy,
        "tolerance": manifest.outputs[0].tolerance,
        "export_s": round(time.monotonic() - start, 1),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


if __name__ == "__main__":
    main()
