"""Latency and peak memory of ResNet18 at 224 x 224, batch 1, one thread, each variant against FP32.

    flock LOCK python -m benchmarks.classic.latency --work WORK [--runs 6] [--alone 12] [--only NAME ...]

Against FP32 twice: in ``--runs`` duets, and in ``--alone`` pairs of processes that hold one model each, in ABBA order.
In a duet a small model finds its weights pushed out of the cache by the large one, alone it does not, as in a product.

Weights are those trained on digits, and nothing is trained: time depends on the structure alone, so that rows of the
table that differ in their training (QAT and static INT8) are one row here. Prints Markdown.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import seatrial
from seatrial.compression.pruning.settings import Prune
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.settings import StepSettings
from seatrial.source import ModelSource
from seatrial_ci.figures import duet_log_ratios, separate_log_ratios
from seatrial_ci.statistics.intervals import Floats
from seatrial_ci.statistics.runs import RunInterval, run_interval
from seatrial_ci.summary import summarise
from seatrial_runner.bundle import Bundle
from seatrial_runner.plan import Plan
from seatrial_runner.records import Trial
from seatrial_runner.trial import open_trial
from seatrial_targets import inventory

from .table import DYNAMIC, FP16, FP32, INT8, KEPT, PRUNED, slug
from .trained import trained

VARIANTS: dict[str, tuple[str, Sequence[StepSettings]]] = {
    "FP16": (FP16, ()),
    "dynamic INT8": (DYNAMIC, ()),
    "static INT8": (INT8, [Quantize(bias_correction=False)]),
    "static INT8, conv1 and fc in float": (INT8, [Quantize(bias_correction=False, keep_float=KEPT)]),
    "pruned 50 %": (FP32, [Prune(amount=PRUNED)]),
    "pruned 50 %, static INT8": (INT8, [Prune(amount=PRUNED), Quantize(bias_correction=False)]),
}


def source(work: Path) -> ModelSource:
    """Return the model at 224 x 224, with noise to set ranges: for latency alone."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(1, 3, 224, 224, generator=generator) for _ in range(4)]
    return ModelSource(trained("resnet18", 0, work), (images[0],), calibration=images, name="resnet18-224")


def exported(given: ModelSource, name: str, folder: Path) -> Bundle:
    """Return the bundle of a variant."""
    target, recipe = VARIANTS.get(name, (FP32, ()))
    made = seatrial.compress(given, list(recipe), targets=[target]).source if recipe else given
    return seatrial.export(made, target, folder, name=slug(name))


def measured(candidate: Bundle, baseline: Bundle, runs: int) -> dict[str, Any]:
    """Return p50s, peak memory and the ratio in duets."""
    trial = _trial(candidate, baseline, runs, Plan().but(solo_runs=3, memory_runs=2, solo_iterations=64))
    return {"summary": summarise(trial), "ratio": _speed(duet_log_ratios(trial).values)}


def alone(candidate: Bundle, baseline: Bundle, pairs: int) -> RunInterval:
    """Return the ratio of pairs of processes that hold one of both."""
    plan = Plan().but(solo_runs=1, memory_runs=0, solo_iterations=64, comparison="separate")
    return _speed(separate_log_ratios(_trial(candidate, baseline, pairs, plan)).values)


def _trial(candidate: Bundle, baseline: Bundle, pairs: int, plan: Plan) -> Trial:
    with open_trial(inventory.load().get("local"), {"candidate": candidate, "baseline": baseline}, plan) as runner:
        runner.measure()
        runner.pairs(pairs)
    return runner.trial


def _speed(log_ratios: Floats) -> RunInterval:
    return run_interval([math.exp(-each) for each in log_ratios], 0.025)


def main() -> None:
    """Measure all and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--alone", type=int, default=12)
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    given = source(arguments.work)
    print("| variant | MB | p50 ms (solo) | times FP32's speed, duets (95 %) | each alone (95 %) | peak MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        baseline = exported(given, "FP32", Path(folder))
        for i, name in enumerate(arguments.only):
            bundle = exported(given, name, Path(folder))
            found = measured(bundle, baseline, arguments.runs)
            ours, theirs = found["summary"].bundles
            if i == 0:
                print(_row("FP32", theirs), flush=True)
            print(_row(name, ours, found["ratio"], alone(bundle, baseline, arguments.alone)), flush=True)


def _row(name: str, figures: Any, *ratios: RunInterval) -> str:
    p50, peak = figures.latency["p50"].value, figures.peak_memory.value
    shown = [f"{each.estimate:.2f} ({each.low:.2f} to {each.high:.2f})" for each in ratios] or ["1", "1"]
    cells = [f"{p50 / 1e6:.1f}" if p50 else "-", *shown, f"{peak / 1e6:.0f}" if peak else "-"]
    return f"| {name} | {figures.size_bytes / 1e6:.2f} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
