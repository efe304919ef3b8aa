"""Each ready recipe from its file to an artifact: size, SQNR, quality, latency beside FP32, time and memory.

    python -m benchmarks.ready_recipes --work WORK [--only NAME ...] [--batches 20] [--pairs 4]

ResNet18 and MobileNetV3-Small are trained on corrupted digits first (classic/trained.py), EfficientNet-Lite0 has its
ImageNet weights, MiniLM its own; the language model is trained here on Python's documentation. Recipes are run as
they are; what is cut short is the training data: ``--batches`` of it make an epoch. EfficientNet-Lite0 trains on crops
of eight photographs with the original's own answers, and is judged on crops of six others: how far the whole way works,
not what its recipe gives with ImageNet. The ratio of latencies is from duets in the native agent on this host, the
peak memory that of the process of one recipe. Each recipe runs in a process of its own. Prints Markdown.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import functools
import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from benchmarks.classic import crops, language_model, minilm, trained
from benchmarks.classic.artifacts import answers, top1_of
from benchmarks.classic.latency import measured

import seatrial
from seatrial.compression.usage import Usage
from seatrial.demo import efficientnet_lite0
from seatrial.source import ModelSource

FP32, INT8, DYNAMIC = "x86-64-cpu-fp32", "x86-64-cpu-int8", "x86-64-cpu-int8-dynamic"


@dataclasses.dataclass(frozen=True)
class Row:
    """A recipe, the model that it is run on, and the target that it is run for."""

    model: Callable[[Path, int], ModelSource]
    target: str
    device: bool = False  # prices of layers are measured


def digits(name: str) -> Callable[[Path, int], ModelSource]:
    """Return what makes a model that is trained on digits."""

    def made(work: Path, batches: int) -> ModelSource:
        source = trained.source(name, 0, work)
        return dataclasses.replace(source, evaluate=None, train=lambda: itertools.islice(trained.epoch(), batches))

    return made


def efficientnet(work: Path, batches: int) -> ModelSource:
    """Return EfficientNet-Lite0, which trains on crops of photographs to keep its own answers."""
    source = efficientnet_lite0.build()
    train = functools.partial(crops.epoch, copy.deepcopy(source.module), batches)
    return dataclasses.replace(source, train=train, loss=crops.loss, evaluate=None)


def sentences(work: Path, batches: int) -> ModelSource:
    """Return MiniLM."""
    return minilm.source()


def bytes_model(work: Path, batches: int) -> ModelSource:
    """Return the small causal language model over bytes."""
    module = language_model.base("student", 2, 0, work)
    train, held = language_model.texts()
    texts = [(each[None],) for each in train[:24]]
    drawn = language_model.batches()

    def epoch() -> Iterator[Any]:
        return ({"input_ids": ids} for ids in itertools.islice(drawn(), batches))

    checks = [(each[None],) for each in held[:24]]
    return ModelSource(module, texts[0], calibration=texts, checks=checks, train=epoch, name="bytes")


ROWS: dict[str, Row] = {
    "int8": Row(digits("resnet18"), INT8),
    "int8-trained": Row(digits("resnet18"), INT8),
    "resnet18-mixed-distilled": Row(digits("resnet18"), INT8, device=True),
    "mobilenet-v3-pruned-trained": Row(digits("mobilenet-v3"), INT8),
    "efficientnet-lite0-mixed": Row(efficientnet, INT8, device=True),
    "efficientnet-lite0-pruned-trained": Row(efficientnet, INT8),
    "minilm-dynamic": Row(sentences, DYNAMIC),
    "minilm-8bit": Row(sentences, FP32),
    "minilm-4bit": Row(sentences, FP32),
    "language-model-distilled-4bit": Row(bytes_model, FP32),
}


def run(name: str, work: Path, batches: int, pairs: int) -> dict[str, Any]:
    """Run one recipe, export, compare with the FP32 export of the same model, and return the figures."""
    row = ROWS[name]
    given = row.model(work, batches)
    baseline = seatrial.export(given, FP32, work / "recipes", name=f"{name}-original")
    with Usage() as usage:
        device = {"device": "local", "plan": {"solo_runs": 2, "solo_iterations": 32}} if row.device else {}
        made = seatrial.compress(given, name, work / f"{name}.pt2", targets=[row.target], **device)
        bundle = seatrial.export(made.source, row.target, work / "recipes", name=name)
    compared = measured(bundle, baseline, pairs)
    ratio = compared["ratio"]
    last = made.record.steps[-1].after
    return {
        "recipe": name,
        "model": given.name,
        "original_bytes": baseline.manifest.size_bytes,
        "size_bytes": bundle.manifest.size_bytes,
        "macs": last.macs / max(1, made.record.original.macs),
        "sqnr_db": bundle.manifest.parity["sqnr_db"],
        **quality(name, bundle, baseline),
        "faster": [ratio.estimate, ratio.low, ratio.high],
        "seconds": round(usage.seconds, 1),
        "peak_rss_bytes": usage.peak_memory_bytes,
        "notes": [note for step in made.record.steps for note in step.notes],
    }


def quality(name: str, bundle: Any, baseline: Any) -> dict[str, Any]:
    """Return top-1 of digits, and elsewhere how often the most likely answer is that of the FP32 artifact."""
    if not name.startswith(("minilm", "language")) and "efficientnet" not in name:
        images, labels = (each.numpy() for each in trained.test())
        made, original = (answers(each.path / each.manifest.artifact, images) for each in (bundle, baseline))
        figures = top1_of(made, original, labels)
        return {"top1": figures["top1"], "original_top1": float((original.argmax(1) == labels).mean())}
    return {"agreement": bundle.manifest.parity.get("top1_agreement")}


def main() -> None:
    """Run each recipe in a process of its own and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=sorted(ROWS), default=list(ROWS))
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--here", action="store_true", help="run in this process")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.only:
        path = arguments.work / f"recipe-{name}.json"
        if not path.is_file() and arguments.here:
            found = run(name, arguments.work, arguments.batches, arguments.pairs)
            path.write_text(json.dumps(found), encoding="utf-8")
        elif not path.is_file():
            options = ["--work", arguments.work, "--batches", arguments.batches, "--pairs", arguments.pairs]
            command = [sys.executable, "-m", "benchmarks.ready_recipes", "--here", "--only", name, *options]
            subprocess.run([str(each) for each in command], check=False)
    if not arguments.here:
        _print([arguments.work / f"recipe-{name}.json" for name in arguments.only])


def _print(paths: list[Path]) -> None:
    print("\n| recipe | model | MB, from | MACs | SQNR dB | quality | times FP32's speed (95 %) | s | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for path in paths:
        if not path.is_file():
            print(f"| {path.stem.removeprefix('recipe-')} | failed, see above |")
            continue
        row = json.loads(path.read_text(encoding="utf-8"))
        size = f"{row['size_bytes'] / 1e6:.2f}, {row['original_bytes'] / 1e6:.2f}"
        speed = "{:.2f} ({:.2f} to {:.2f})".format(*row["faster"])
        cells = [row["model"], size, f"{row['macs']:.0%}", f"{row['sqnr_db']:.1f}", _quality(row), speed]
        cells += [f"{row['seconds']:.0f}", f"{row['peak_rss_bytes'] / 1e6:.0f}"]
        print(f"| {row['recipe']} | {' | '.join(cells)} |")


def _quality(row: dict[str, Any]) -> str:
    if "top1" in row:
        return f"top-1 {100 * row['original_top1']:.1f} -> {100 * row['top1']:.1f} %"
    if row["model"] == "minilm":
        return "-"  # the largest value of an embedding is no answer
    return "-" if row["agreement"] is None else f"top-1 as torch {100 * row['agreement']:.1f} %"


if __name__ == "__main__":
    main()
