"""What helps post-training INT8: bias correction, adaptive rounding, equalisation, observers; SQNR against float.

    python -m benchmarks.classic.rounding --work WORK [--models efficientnet-lite0 resnet18]

EfficientNet-Lite0 has its ImageNet weights and is judged on crops of photographs that set no range; ResNet18 is trained
on corrupted digits (trained.py), and judged on 100 others. Quality is of the quantized graph in torch, for targets of
ONNX Runtime on x86-64 (uint8 activations). Rows are kept in WORK. Prints Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import seatrial
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.settings import StepSettings
from seatrial.compression.surgery.settings import Equalize, ReplaceActivation
from seatrial.compression.usage import Usage
from seatrial.demo import efficientnet_lite0
from seatrial.source import ModelSource

from . import trained
from .table import INT8, kept, slug

MODELS: dict[str, Callable[[Path], ModelSource]] = {
    "efficientnet-lite0": lambda work: efficientnet_lite0.build(),
    "resnet18": lambda work: trained.source("resnet18", 0, work),
}


def ways(source: ModelSource) -> dict[str, Sequence[StepSettings]]:
    """Return the recipes by name; with one that makes ReLU6, which equalisation can't reach across, to ReLU."""
    has_relu6 = any(isinstance(each, torch.nn.ReLU6) for each in source.module.modules())
    relu = {"float, ReLU for ReLU6": [ReplaceActivation(replace={"ReLU6": "ReLU"})]} if has_relu6 else {}
    plain: dict[str, Any] = {"bias_correction": False}
    tensor: dict[str, Any] = {"weights": "per_tensor"}
    return {
        "rounded to the nearest": [Quantize(**plain)],
        "bias correction (the default)": [Quantize()],
        "adaptive rounding": [Quantize(**plain, rounding="adaptive")],
        "adaptive rounding, bias correction": [Quantize(rounding="adaptive")],
        "equalised": [Equalize(), Quantize(**plain)],
        "equalised, bias correction": [Equalize(), Quantize()],
        "observer percentile": [Quantize(**plain, observer="percentile")],
        "observer entropy": [Quantize(**plain, observer="entropy")],
        "observer mse": [Quantize(**plain, observer="mse")],
        "one scale per tensor": [Quantize(**plain, **tensor)],
        "one scale per tensor, equalised": [Equalize(), Quantize(**plain, **tensor)],
        "one scale per tensor, equalised, bias correction": [Equalize(), Quantize(**tensor)],
        **relu,
    }


def measured(source: ModelSource, recipe: Sequence[StepSettings]) -> dict[str, Any]:
    """Return quality, time and memory of one recipe."""
    with Usage() as usage:
        last = seatrial.compress(source, list(recipe), targets=[INT8]).record.steps[-1]
    return {**last.after.quality, "seconds": round(usage.seconds, 1), "peak_rss_bytes": usage.peak_memory_bytes}


def main() -> None:
    """Measure all and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--models", nargs="+", choices=sorted(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | INT8 | SQNR dB | top-1 as float | s |\n|---|---|---|---|---|")
    for model in arguments.models:
        source = dataclasses.replace(MODELS[model](arguments.work), evaluate=None)
        for name, recipe in ways(source).items():
            path = arguments.work / f"rounding-{model}-{slug(name)}.json"
            row = kept(path, lambda source=source, recipe=recipe: measured(source, recipe))  # type: ignore[misc]
            cells = f"{row['sqnr_db']:.1f} | {100 * row['top1_agreement']:.1f} % | {row['seconds']:.0f}"
            print(f"| {model} | {name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
