"""The classic table for ResNet18: file size, SQNR and accuracy on digits of every variant and of other quantizers.

    python -m benchmarks.classic.table --work WORK [--seeds 0 1] [--steps 25] [--no-rivals]

Every variant is made from the same trained weights by a recipe and exported for x86-64. Accuracy is of the exported
artifact, in ONNX Runtime, on 4,000 corrupted test digits (48 x 48); the rivals quantize the FP32 artifact with the same
calibration digits (rivals.py). Speed and memory are measured by latency.py, at 224 x 224. Rows are kept in WORK, so
that an interrupted table goes on. Prints Markdown.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import seatrial
from seatrial.compression.distillation.settings import Distil, Distillation
from seatrial.compression.mixed_precision.settings import MixedPrecision
from seatrial.compression.pruning.settings import Prune
from seatrial.compression.quantization.qat_settings import Qat
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.settings import StepSettings
from seatrial.compression.training.settings import Finetune, Training
from seatrial.compression.usage import Usage
from seatrial.source import ModelSource

from .artifacts import answers, top1_of
from .digits import calibration, test
from .rivals import RIVALS
from .trained import source

FP32, FP16, INT8, DYNAMIC = (f"x86-64-cpu-{name}" for name in ("fp32", "fp16", "int8", "int8-dynamic"))
KEPT = ("conv1", "fc")
PRUNED = 0.5  # of the channels of each layer


@dataclass(frozen=True)
class Variant:
    """A row: for which target, by which recipe, and made from which other row's `.pt2` (empty: the trained model)."""

    target: str
    recipe: Sequence[StepSettings] = ()
    base: str = ""


def variants(steps: int) -> dict[str, Variant]:
    """Return the rows by name."""
    training: dict[str, Any] = {"steps": steps, "learning_rate": 1e-4, "checkpoint_every": 20}
    longer = {**training, "steps": 4 * steps, "learning_rate": 1e-3}
    soft = Distillation(temperature=4.0, hard_weight=0.3)
    taught = Distil(**longer, teacher="original", temperature=4.0, hard_weight=0.3)
    return {
        "FP32": Variant(FP32),
        "FP32, trained on (control)": Variant(FP32, [Finetune(**training)]),
        "FP16": Variant(FP16),
        "dynamic INT8": Variant(DYNAMIC),
        "static INT8": Variant(INT8, [Quantize()]),
        "static INT8, conv1 and fc in float": Variant(INT8, [Quantize(keep_float=KEPT)]),
        "QAT": Variant(INT8, [Qat(**training)]),
        "QAT, conv1 and fc in float": Variant(INT8, [Qat(**training, keep_float=KEPT)]),
        "QAT, distilled": Variant(INT8, [Qat(**training, distil=soft)]),
        "pruned 50 %": Variant(FP32, [Prune(amount=PRUNED, finetune=Training(**longer))]),
        "pruned 50 %, static INT8": Variant(INT8, [Quantize()], base="pruned 50 %"),
        "all: pruned 50 %, distilled, QAT": Variant(
            INT8, [Prune(amount=PRUNED), taught, Qat(**training, distil=soft)]
        ),
        "all, trained 4 times as long": Variant(
            INT8, [Prune(amount=PRUNED), taught.model_copy(update={"steps": 16 * steps}), Qat(**training, distil=soft)]
        ),
        "static INT8, mixed by estimate": Variant(INT8, [MixedPrecision(candidates=3)]),
    }  # fmt: skip


class Table:
    """The rows of one seed."""

    def __init__(self, seed: int, work: Path, steps: int) -> None:
        self.given = source("resnet18", seed, work)
        self.work, self.variants = work, variants(steps)
        self.reference = self.row("FP32")["artifact"]

    def row(self, name: str) -> dict[str, Any]:
        """Return the figures of one variant, made now if it was not yet."""
        return kept(self.file(name, "json"), lambda: self._made(name))

    def rival(self, name: str) -> dict[str, Any]:
        """Return the figures of another quantizer."""
        return kept(self.file(name, "json"), lambda: self._by_rival(name))

    def file(self, name: str, ending: str) -> Path:
        """Return where something of a row is kept."""
        return self.work / f"{self.given.name}-{slug(name)}.{ending}"

    def _made(self, name: str) -> dict[str, Any]:
        variant = self.variants[name]
        with Usage() as usage:
            made = self._compressed(name, variant)
            bundle = seatrial.export(made, variant.target, self.work / "bundles", name=self.file(name, "pt2").stem)
        path = bundle.path / bundle.manifest.artifact
        return self._figures(name, path, bundle.manifest.size_bytes, usage)

    def _compressed(self, name: str, variant: Variant) -> ModelSource:
        given = dataclasses.replace(self.given, evaluate=None)
        if variant.base:
            self.row(variant.base)
            base = seatrial.load_source(str(self.file(variant.base, "pt2"))).with_data_of(given)
            given = dataclasses.replace(base, name=given.name)
        if not variant.recipe:
            return given
        out = self.file(name, "pt2")
        resume = out.with_suffix(".work").is_dir()
        return seatrial.compress(given, list(variant.recipe), out, targets=[variant.target], resume=resume).source

    def _by_rival(self, name: str) -> dict[str, Any]:
        out = self.file(name, "onnx")
        with Usage() as usage:
            RIVALS[name](Path(self.reference), calibration().numpy(), out, self.work)
        return self._figures(name, out, out.stat().st_size, usage)

    def _figures(self, name: str, path: Path, size: int, usage: Usage) -> dict[str, Any]:
        images, labels = (each.numpy() for each in test())
        found = answers(path, images)
        reference = found if name == "FP32" else answers(Path(self.reference), images)
        return {
            "name": name,
            "artifact": str(path),
            "size_bytes": size,
            **top1_of(found, reference, labels),
            "seconds": round(usage.seconds, 1),
            "peak_rss_bytes": usage.peak_memory_bytes,
        }


def slug(name: str) -> str:
    """Return a row's name as a part of a file's."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")


def kept(path: Path, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what is in ``path``, made now if it is not there."""
    if not path.is_file():
        path.write_text(json.dumps(make()), encoding="utf-8")
        print(path.read_text(encoding="utf-8"), flush=True)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def main() -> None:
    """Make all rows and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--steps", type=int, default=25, help="of training, 4 times as many after pruning")
    parser.add_argument("--no-rivals", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, Any]]] = {}
    for seed in arguments.seeds:
        table = Table(seed, arguments.work, arguments.steps)
        for name in table.variants:
            rows.setdefault(name, []).append(table.row(name))
        for name in () if arguments.no_rivals else RIVALS:
            rows.setdefault(name, []).append(table.rival(name))
    print_rows(rows)


def print_rows(rows: dict[str, list[dict[str, Any]]]) -> None:
    """Print a line for each row; changes are against FP32 of the same seed, in points."""
    print("\n| variant | MB | SQNR dB | top-1 % by seed | change, mean | made in s | peak memory MB |")
    print("|---|---|---|---|---|---|---|")
    for name, found in rows.items():
        change = statistics.mean(
            100 * (mine["top1"] - base["top1"]) for mine, base in zip(found, rows["FP32"], strict=True)
        )
        cells = [
            f"{found[0]['size_bytes'] / 1e6:.2f}",
            ", ".join("-" if each["sqnr_db"] is None else f"{each['sqnr_db']:.1f}" for each in found),
            ", ".join(f"{100 * each['top1']:.1f}" for each in found),
            f"{change:+.1f}",
            f"{statistics.mean(each['seconds'] for each in found):.0f}",
            f"{max(each['peak_rss_bytes'] for each in found) / 1e6:.0f}",
        ]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
