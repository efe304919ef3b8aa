"""Core ML: what the evaluator covers, how near packages are to torch, what each variant weighs, what an export costs.

    python benchmarks/coreml.py coverage     # of coremltools' registry of operations; needs no models
    python benchmarks/coreml.py parity       # every model of the tests, and EfficientNet-Lite0, in FP16
    python benchmarks/coreml.py variants     # EfficientNet-Lite0 stored in each way
    python benchmarks/coreml.py cost         # an export beside bare torch.export and ct.convert, interleaved

Each prints Markdown tables; `--only WORD` leaves out the rows of parity and variants without that word. `parity` wants
the packages of `make weights`; models whose weights are absent are left out, and said to be.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from seatrial.demo import efficientnet_lite0
from seatrial.exporters import export
from seatrial.exporters.coreml.rounding import LIMIT
from seatrial.source import ModelSource
from seatrial.verify.coreml import library
from seatrial.verify.coreml.session import PackageSession
from seatrial_runner.bundle import Bundle
from seatrial_targets.profile import TargetProfile

CROPS = 8  # of the demo's check crops, spread over all photographs
ROUNDS = 2
PRUNED = 0.5


def target(ios: int, precision: str = "fp16", **fields: Any) -> TargetProfile:
    """Return a profile for an iPhone with that system."""
    device = {"kind": "phone", "architecture": "aarch64", "os": "ios", "os_min": str(ios)}
    base = {"name": "iphone", "summary": "benchmark", "device": device, "runtime": {"name": "coreml"}}
    return TargetProfile.model_validate({**base, "precision": precision, **fields})


def efficientnet(checks: int = CROPS) -> ModelSource:
    """Return the demo's model with a few of its check crops."""
    every = list(efficientnet_lite0.checks())
    few = every[:: max(1, len(every) // checks)][:checks]
    return dataclasses.replace(efficientnet_lite0.build(), checks=few, evaluate=None)


def table(head: tuple[str, ...], rows: Iterator[tuple[object, ...]]) -> None:
    """Print a Markdown table, row by row, since each may take a minute."""
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def coverage(_only: str) -> None:
    """Print which operations of coremltools' registry the evaluator executes, by the system that they came with."""
    library.load()
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    from seatrial.verify.coreml.ops import BUILT_IN, implementations

    known = {*implementations(), *BUILT_IN}
    since: dict[int, list[str]] = {}
    for name, definitions in SSAOpRegistry.core_ops.items():
        since.setdefault(max(15, min(int(each.name.removeprefix("iOS")) for each in definitions)), []).append(name)
    rows = [(ios, names, sorted(set(names) - known)) for ios, names in sorted(since.items())]
    everything = [name for _, names, _ in rows for name in names]
    rows.append((0, everything, sorted(set(everything) - known)))
    table(
        ("came with", "operations", "executed", "not executed"),
        ((f"iOS {ios}" if ios else "all", len(names), len(names) - len(lacking), ", ".join(lacking) or "-")
         for ios, names, lacking in rows),
    )  # fmt: skip


def models() -> Iterator[tuple[str, Callable[[], ModelSource]]]:
    """Yield the models of the tests by name, and the demo's."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from sdk.verify.coreml.models import MODELS, made
    from sdk.verify.coreml.real import REAL

    for name in MODELS:
        yield name, lambda name=name: ModelSource(*made(name), name=name)
    for name, build in REAL.items():
        yield f"{name} (real weights)", lambda build=build: _evaluating(*build())
    yield "EfficientNet-Lite0 (real weights)", efficientnet


def _evaluating(module: torch.nn.Module, inputs: Any) -> ModelSource:
    return ModelSource(module.eval(), inputs, name="real")


def parity(only: str) -> None:
    """Print how far each model's package in FP16 is from torch, and how long the evaluator takes for it; where that is
    too far, also with what `keep_float32: auto` keeps in float32."""

    def rows() -> Iterator[tuple[object, ...]]:
        for name, build in models():
            if only not in name:
                continue
            try:
                source = build()
            except BaseException as error:  # pytest's skip, for weights that are not installed
                yield name, f"left out: {error}", "", "", "", ""
                continue
            for ios in (16, 18) if "real" not in name else (17,):
                found = _measured(source, target(ios))
                yield f"{name}, iOS {ios}", *found
                if float(found[2]) > LIMIT:
                    yield f"{name}, iOS {ios}, auto", *_measured(source, target(ios, coreml={"keep_float32": ["auto"]}))

    table(("model", "operations", "of them in float32", "relative L2", "evaluator, CPU s", "wall s"), rows())


def _measured(source: ModelSource, profile: TargetProfile) -> tuple[int, int, str, str, str]:
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.open(export(source, profile, Path(folder)))
        session = PackageSession(bundle.path / bundle.manifest.artifact)
        inputs = {each.name: _golden(bundle, each.golden) for each in bundle.manifest.inputs}
        session.run(inputs)  # weights are read
        cpu, wall = time.process_time(), time.monotonic()
        session.run(inputs)
        took = time.process_time() - cpu, time.monotonic() - wall
    runs = [each for each in session.package.function.block.walk() if each.type != "const"]
    wide = sum(each.type != "cast" and any(out.type.dtype == "fp32" for out in each.outputs) for each in runs)
    return len(runs), wide, f"{relative(bundle.manifest.parity['sqnr_db']):.1e}", f"{took[0]:.2f}", f"{took[1]:.2f}"


def _golden(bundle: Bundle, path: str) -> Any:
    import numpy as np

    return np.load(bundle.file(path), allow_pickle=False)


def relative(sqnr_db: float) -> float:
    """Return the relative L2 error of a signal-to-noise ratio."""
    return math.pow(10, -sqnr_db / 20)


LINEAR, PALETTE = {"scheme": "linear", "bits": 8}, {"scheme": "palettize", "granularity": "per_tensor"}
GROUPS = {"granularity": "per_group", "group_size": 16}
INT8 = {"scheme": "static", "activation": "int8", "symmetric": True}
VARIANTS: dict[str, TargetProfile] = {
    "FP32": target(17, "fp32"),
    "FP16": target(17),
    "INT8 weights (iOS 16)": target(16, weights=LINEAR),
    "INT4 weights, blocks of 16 (iOS 18)": target(18, weights={**LINEAR, "bits": 4, **GROUPS}),
    "palette of 6 bits, per tensor (iOS 16)": target(16, weights={**PALETTE, "bits": 6}),
    "palette of 6 bits, groups of 16 (iOS 18)": target(18, weights={**PALETTE, "bits": 6, **GROUPS}),
    "palette of 4 bits, per tensor (iOS 16)": target(16, weights={**PALETTE, "bits": 4}),
    "palette of 4 bits, groups of 16 (iOS 18)": target(18, weights={**PALETTE, "bits": 4, **GROUPS}),
    "INT8 weights and activations (iOS 17)": target(17, "int8", quantization=INT8),
}
SPARSE = "half of the weights zero, no fine-tuning: {} (iOS 16)"
PRUNED_VARIANTS = {"as FP16, not sparse": target(16), "sparse": target(16, weights={"scheme": "sparse"})}


def variants(only: str) -> None:
    """Print size, error and agreement of EfficientNet-Lite0 stored in each way, or in those ways with ``only`` in their
    names."""
    ways = {name: (efficientnet, profile) for name, profile in VARIANTS.items()}
    ways |= {SPARSE.format(name): (_pruned, profile) for name, profile in PRUNED_VARIANTS.items()}

    def rows() -> Iterator[tuple[object, ...]]:
        for name, (build, profile) in ways.items():
            if only in name:
                yield (name, *_stored(build(), profile))

    table(("variant", "MB", "relative L2", "top-1 agreement", "CPU s to export"), rows())


def _stored(source: ModelSource, profile: TargetProfile) -> tuple[object, ...]:
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        manifest = Bundle.open(export(source, profile, Path(folder))).manifest
        took = time.process_time() - began
    found = manifest.parity
    agreement = f"{round(found['top1_agreement'] * found['samples'])}/{found['samples']:.0f}"
    return f"{manifest.size_bytes / 1e6:.2f}", f"{relative(found['sqnr_db']):.4f}", agreement, f"{took:.0f}"


def _pruned() -> ModelSource:
    """The demo's model with the smaller half of each weight zero; parity is against the model as it was."""
    made = efficientnet()
    with torch.no_grad():
        for each in made.module.modules():
            if isinstance(each, torch.nn.Conv2d | torch.nn.Linear):
                limit = each.weight.abs().reshape(-1).kthvalue(max(1, int(PRUNED * each.weight.numel()))).values
                each.weight[each.weight.abs() <= limit] = 0.0
    return dataclasses.replace(made, reference=efficientnet().module)


def cost(_only: str) -> None:
    """Print CPU and wall time of an export, part by part, beside what a script with bare coremltools takes."""
    source = efficientnet(1)
    library.load()
    _bare(source)  # both warm
    _ours(source)
    found: dict[str, list[tuple[float, float]]] = {}
    for _, way in itertools.product(range(ROUNDS), (_bare, _ours)):
        for name, took in way(source).items():
            found.setdefault(name, []).append(took)
    bare = _medians(found["torch.export, ct.convert, save"])
    table(
        ("what", "CPU s", "wall s", "of bare, CPU"),
        ((name, *(f"{each:.1f}" for each in _medians(times)), f"{_medians(times)[0] / bare[0]:.2f}")
         for name, times in found.items()),
    )  # fmt: skip


def _medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    return statistics.median(cpu for cpu, _ in times), statistics.median(wall for _, wall in times)


def _now() -> tuple[float, float]:
    return time.process_time(), time.monotonic()


def _since(began: tuple[float, float]) -> tuple[float, float]:
    cpu, wall = _now()
    return cpu - began[0], wall - began[1]


def _bare(source: ModelSource) -> dict[str, tuple[float, float]]:
    ct = library.load()
    began = _now()
    with tempfile.TemporaryDirectory() as folder, library.quiet(), torch.no_grad():
        program = torch.export.export(source.module.eval(), tuple(source.inputs.values())).run_decompositions({})
        inputs = [ct.TensorType(name=name, shape=tuple(value.shape)) for name, value in source.inputs.items()]
        model = ct.convert(
            program, inputs=inputs, convert_to="mlprogram", minimum_deployment_target=ct.target.iOS17,
            skip_model_load=True,
        )  # fmt: skip
        model.save(str(Path(folder) / "model.mlpackage"))
    return {"torch.export, ct.convert, save": _since(began)}


def _ours(source: ModelSource) -> dict[str, tuple[float, float]]:
    """Time until the package is there, and of what is done with it afterwards."""
    began, told = _now(), dict[str, tuple[float, float]]()
    with tempfile.TemporaryDirectory() as folder:
        export(source, target(17), Path(folder), on_progress=lambda stage: told.setdefault(stage, _since(began)))
        whole = _since(began)
    made = told["read the package back"]
    checks = whole[0] - made[0], whole[1] - made[1]
    return {"seatrial export, until the package is written": made, "seatrial export, its checks": checks}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD")
    ways = {each.__name__: each for each in (coverage, parity, variants, cost)}
    parser.add_argument("what", choices=ways)
    torch.set_num_threads(2)
    given = parser.parse_args()
    ways[given.what](given.only)


if __name__ == "__main__":
    main()
