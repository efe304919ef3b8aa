"""The classic table for ResNet18: file size, latency and peak memory through the native agent, accuracy on digits.

    python -m benchmarks.classic.table --work WORK [--seeds 0 1] [--epochs 2]

Every variant is made from the same trained weights by a recipe, exported for x86-64, and measured on this machine.
Accuracy is of the exported artifact, in ONNX Runtime, on 3,000 corrupted test digits (32 x 32). Latency is of the same
recipe's structure at 224 x 224, batch 1, one thread: solo runs, and duets against FP32 for the ratio. Rows are kept in
WORK, so that an interrupted table goes on. Prints Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import seatrial
from seatrial.compression.distillation.settings import Distil, Distillation
from seatrial.compression.mixed_precision.settings import MixedPrecision
from seatrial.compression.quantization.qat_settings import Qat
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.settings import StepSettings
from seatrial.compression.training.settings import Finetune
from seatrial.exporters.host import HostSession
from seatrial.source import ModelSource

from .digits import part
from .trained import source

FP32, FP16, INT8, DYNAMIC = (f"x86-64-cpu-{name}" for name in ("fp32", "fp16", "int8", "int8-dynamic"))
KEPT = ("conv1", "fc")


def variants(epochs: int) -> dict[str, tuple[str, Sequence[StepSettings]]]:
    """Return the rows: name -> target and recipe."""
    training: dict[str, Any] = {"epochs": epochs, "checkpoint_every": 50}
    soft = Distillation(temperature=4.0, hard_weight=0.3)
    return {
        "FP32": (FP32, ()),
        "FP32, trained on (control)": (FP32, [Finetune(**training, learning_rate=3e-4)]),
        "FP16": (FP16, ()),
        "dynamic INT8": (DYNAMIC, ()),
        "static INT8": (INT8, [Quantize()]),
        "static INT8, mixed (conv1, fc float)": (INT8, [Quantize(keep_float=KEPT)]),
        "static INT8, mixed (searched)": (INT8, [MixedPrecision(candidates=3)]),
        "QAT": (INT8, [Qat(**training, learning_rate=3e-4)]),
        "QAT, mixed": (INT8, [Qat(**training, learning_rate=3e-4, keep_float=KEPT)]),
        "QAT, distilled": (INT8, [Qat(**training, learning_rate=3e-4, distil=soft)]),
        "distilled from itself, static INT8": (
            INT8,
            [Distil(**training, learning_rate=3e-4, teacher="self", temperature=4.0, hard_weight=0.5), Quantize()],
        ),
    }


def accuracy(bundle: Any) -> float:
    """Return the part of test digits that the exported artifact tells right."""
    session = HostSession(bundle.path / bundle.manifest.artifact, threads=1)
    images, labels = part("test")
    name = next(iter(session.described()[0]))
    right = 0
    for image, label in zip(images, labels, strict=True):
        found = next(iter(session.run({name: image[None].numpy()}).values()))
        right += int(found.argmax() == int(label))
    return right / len(labels)


def row(name: str, target: str, recipe: Sequence[StepSettings], given: ModelSource, work: Path) -> dict[str, Any]:
    """Make one variant and return its figures."""
    began = time.monotonic()
    quick = dataclasses.replace(given, evaluate=None)
    out = work / f"{given.name}-{slug(name)}.pt2"
    made = seatrial.compress(quick, list(recipe), out, targets=[target], resume=True).source if recipe else quick
    bundle = seatrial.export(made, target, work / "bundles", name=out.stem)
    return {
        "name": name,
        "target": target,
        "size_bytes": bundle.manifest.size_bytes,
        "sqnr_db": bundle.manifest.parity.get("sqnr_db"),
        "top1": accuracy(bundle),
        "bundle": str(bundle.path),
        "seconds": round(time.monotonic() - began, 1),
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def slug(name: str) -> str:
    """Return a row's name as a part of a file's."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is in ``path``, made now if it is not there."""
    if not path.is_file():
        path.write_text(json.dumps(make()), encoding="utf-8")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Make all rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[dict[str, Any]]] = {}
    for seed in arguments.seeds:
        given = dataclasses.replace(source("resnet18", seed, arguments.work), name=f"resnet18-{seed}")
        for name, (target, recipe) in variants(arguments.epochs).items():
            file = arguments.work / f"row-{seed}-{slug(name)}.json"
            made = kept(file, lambda n=name, t=target, r=recipe, g=given: row(n, t, r, g, arguments.work))
            print(json.dumps(made), flush=True)
            found.setdefault(name, []).append(made)
    print("\n| variant | MB | SQNR dB | top-1 % by seed | made in s |\n|---|---|---|---|---|")
    for name, rows in found.items():
        tops = ", ".join(f"{100 * each['top1']:.1f}" for each in rows)
        first = rows[0]
        print(
            f"| {name} | {first['size_bytes'] / 1e6:.2f} | {first['sqnr_db']:.1f} | {tops} | {first['seconds']:.0f} |"
        )


if __name__ == "__main__":
    main()
