"""Where the time of INT8 goes: ResNet18 at 224 x 224 in ONNX Runtime, beside FP32 and onnxruntime's own quantizer.

    python -m benchmarks.classic.kernels [--rounds 60]

Untrained weights: time does not depend on them. All models run in this process, on one thread, one after the other in
each round. On a busy machine the medians are those of a shared core; the sum of each kernel's least time is nearest to
an idle one. Prints Markdown: both, as ratios, and the kinds of kernels that each graph ends up with.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

import seatrial
from seatrial.compression.quantization.settings import Quantize
from seatrial.source import ModelSource

from .resnet18 import ResNet18
from .rivals import onnxruntime_uint8
from .table import FP32, INT8


def models(folder: Path, images: list[torch.Tensor]) -> dict[str, Path]:
    """Return the ONNX files by name; FP32 is the first."""
    torch.manual_seed(0)
    given = ModelSource(ResNet18().eval(), (images[0],), calibration=[(each,) for each in images], name="resnet18")
    plain = seatrial.export(given, FP32, folder)
    made = seatrial.compress(given, [Quantize(bias_correction=False)], targets=[INT8])
    ours = seatrial.export(made.source, INT8, folder)
    theirs = folder / "onnxruntime.onnx"
    onnxruntime_uint8(plain.file("model.onnx"), torch.cat(images).numpy(), theirs, folder)
    return {"FP32": plain.file("model.onnx"), "Seatrial": ours.file("model.onnx"), "onnxruntime, uint8": theirs}


def session(path: Path, profile: Path | None = None) -> Any:
    """Return a session on one thread; with ``profile`` it writes what each kernel took."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if profile is not None:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def timed(sessions: dict[str, Any], image: Any, rounds: int) -> dict[str, Any]:
    """Return seconds (rounds,) by name, interleaved."""
    found = defaultdict(list)
    for _ in range(rounds):
        for name, each in sessions.items():
            start = time.perf_counter()
            each.run(None, {each.get_inputs()[0].name: image})
            found[name].append(time.perf_counter() - start)
    return {name: np.array(values[3:]) for name, values in found.items()}


def kernels(made: Any) -> dict[str, tuple[int, float]]:
    """End a session's profile; return for each kind of kernel how many there are and the sum of their least times,
    in milliseconds."""
    least: dict[tuple[str, str], float] = {}
    for event in json.loads(Path(made.end_profiling()).read_text(encoding="utf-8")):
        if event.get("cat") == "Node" and event["name"].endswith("kernel_time"):
            key = (event["args"]["op_name"], event["name"])
            least[key] = min(least.get(key, float("inf")), event["dur"] / 1000)
    kinds: dict[str, list[float]] = defaultdict(list)
    for (kind, _), took in least.items():
        kinds[kind].append(took)
    return {kind: (len(took), sum(took)) for kind, took in sorted(kinds.items(), key=lambda each: -sum(each[1]))}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    images = [torch.randn(1, 3, 224, 224, generator=generator) for _ in range(4)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths = models(folder, images)
        times = timed({name: session(path) for name, path in paths.items()}, images[0].numpy(), rounds)
        profiled = {name: session(path, folder / "profile") for name, path in paths.items()}
        timed(profiled, images[0].numpy(), rounds)
        _print(times, {name: kernels(each) for name, each in profiled.items()})


def _print(times: dict[str, Any], kinds: dict[str, dict[str, tuple[int, float]]]) -> None:
    sums = {name: sum(took for _, took in each.values()) for name, each in kinds.items()}
    print("| model | kernels' least times, ms | times FP32's speed | median of rounds | kernels (count, ms) |")
    print("|---|---|---|---|---|")
    for name, each in times.items():
        ratios = sums["FP32"] / sums[name], float(np.median(times["FP32"] / each))
        shown = ", ".join(f"{kind} ({count}, {took:.2f})" for kind, (count, took) in kinds[name].items())
        print(f"| {name} | {sums[name]:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {shown} |")


if __name__ == "__main__":
    main()
