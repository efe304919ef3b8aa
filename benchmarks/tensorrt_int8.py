"""INT8 for TensorRT by Seatrial, by onnxruntime's static quantizer, and by NVIDIA's ModelOpt, side by side: what
NVIDIA's compiler says of each file, how near it is to torch, how large it is, how long it took.

    python benchmarks/tensorrt_int8.py [--models resnet18 efficientnet-lite0] [--ways WORD ...] [--work FOLDER]

Needs the extras [demo] and [tensorrt-check]. ModelOpt pins an onnx of its own, so it gets a virtual environment below
FOLDER, made on the first run (about 3 minutes). Prints one Markdown table per model; everything stays in FOLDER.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from seatrial.demo import efficientnet_lite0
from seatrial.exporters import export
from seatrial.exporters.host import Arrays, HostSession
from seatrial.exporters.parity import measure_parity
from seatrial.exporters.reference import TorchReference
from seatrial.exporters.samples import read_samples
from seatrial.source import ModelSource
from seatrial.verify.tensorrt import Context, check, lint_model
from seatrial_runner.bundle import Bundle
from seatrial_targets import registry

HERE = Path(__file__).parent
OURS = {
    "Seatrial, weights for 8.5 and later": "jetson-orin-nano-int8",
    "Seatrial, weights for 10 and later": "jetson-thor-int8",
}
MODELOPT = (
    "nvidia-modelopt==0.47.0", "onnx~=1.21.0", "onnxruntime~=1.24.2", "onnx-graphsurgeon>=0.6.1",
    "onnxconverter-common~=1.16.0", "onnxscript", "onnxslim>=0.1.76", "polygraphy>=0.53.4", "cppimport", "lief",
    "ml_dtypes", "requests", "huggingface_hub",
)  # fmt: skip


@dataclass(frozen=True)
class Given:
    """One model: its source, its float ONNX at opset 17, and its samples as arrays."""

    source: ModelSource
    float_onnx: Path
    calibration: list[Arrays]
    checks: list[Arrays]

    @property
    def float_bytes(self) -> int:
        return self.float_onnx.stat().st_size


def main() -> None:
    """Measure each way for each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=sorted(SOURCES), default=sorted(SOURCES))
    parser.add_argument("--ways", nargs="+", default=[""], help="those whose names hold one of these words")
    parser.add_argument("--work", type=Path, default=Path("build/tensorrt-int8"))
    options = parser.parse_args()
    for name in options.models:
        folder = options.work / name
        folder.mkdir(parents=True, exist_ok=True)
        given = prepared(SOURCES[name](), folder)
        print(f"\n{name}: float32 ONNX of {given.float_bytes / 1e6:.2f} MB, {len(given.checks)} samples to check\n")
        print("| way | NVIDIA's compiler | linter | SQNR | top-1 as torch | size | quantized in | checked in |")
        print("|---|---|---|---|---|---|---|---|")
        for way, make in ways(given, folder, options.work / "modelopt-venv").items():
            if not any(word in way for word in options.ways):
                continue
            path, seconds = timed(make)
            target = OURS.get(way, "jetson-orin-nano-int8")
            cells = judged(given, path, target)
            print(f"| {way} | {' | '.join(cells)} |".replace("SECONDS", f"{seconds:.0f} s"), flush=True)


def ways(given: Given, folder: Path, venv: Path) -> dict[str, Callable[[], Path]]:
    """Return each way's name, and what makes its file."""
    advised = {"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False, "AddQDQPairToWeight": True}
    return {
        **{way: lambda target=target: ours(given, target, folder) for way, target in OURS.items()},  # type: ignore[misc]
        "Seatrial, the last layer kept out": lambda: ours(given, "jetson-orin-nano-int8", folder, last_layer(given)),
        "onnxruntime, defaults": lambda: by_onnxruntime(given, folder / "ort-defaults.onnx"),
        "onnxruntime, symmetric": lambda: by_onnxruntime(given, folder / "ort-symmetric.onnx", advised),
        "ModelOpt, fp32": lambda: by_modelopt(given, modelopt_python(venv), folder, "fp32"),
        "ModelOpt, fp16": lambda: by_modelopt(given, modelopt_python(venv), folder, "fp16"),
    }


def timed(work: Callable[[], Path]) -> tuple[Path, float]:
    """Return what ``work`` returns, and the wall time in seconds."""
    start = time.monotonic()
    made = work()
    return made, time.monotonic() - start


def ours(given: Given, target: str, folder: Path, *keep: str) -> Path:
    """Export with Seatrial: calibration, bias correction, linter, NVIDIA's compiler, parity, noise of each layer."""
    source = replace(given.source, keep_float=keep)
    bundle = Bundle.open(export(source, registry.get(target), folder / "-".join(["ours", *keep])))
    return bundle.file("model.onnx")


def last_layer(given: Given) -> str:
    """Return the path of the module that makes the outputs."""
    return str(onnx.load(given.float_onnx).graph.node[-1].name).rpartition("/")[0]


def by_onnxruntime(given: Given, made: Path, options: dict[str, Any] | None = None) -> Path:
    """Quantize with onnxruntime.quantization, QDQ format, after its own pre-processing; ``options`` are extra ones."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._samples = iter(given.calibration)

        def get_next(self) -> Arrays | None:
            return next(self._samples, None)

    ready = made.with_suffix(".ready.onnx")
    quant_pre_process(str(given.float_onnx), str(ready))
    types = {"activation_type": QuantType.QInt8, "weight_type": QuantType.QInt8, "per_channel": True} if options else {}
    quantize_static(str(ready), str(made), Reader(), extra_options=options or {}, **types)
    return made


def by_modelopt(given: Given, python: Path, folder: Path, precision: str) -> Path:
    """Quantize with nvidia-modelopt in its own environment."""
    data, made = folder / "calibration.npz", folder / f"modelopt-{precision}.onnx"
    names = list(given.calibration[0])
    np.savez(data, **{name: np.concatenate([sample[name] for sample in given.calibration]) for name in names})
    command = [str(python), str(HERE / "modelopt_int8.py"), str(given.float_onnx), str(data), str(made), precision]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"ModelOpt failed: {ended.stderr[-2000:]}")
    return made


def modelopt_python(venv: Path) -> Path:
    """Return the interpreter of ModelOpt's environment, which is made when there is none."""
    python = venv / "bin" / "python"
    if not (venv / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        for packages in (["torch==2.13.0"], MODELOPT):  # torch first: ModelOpt alone would take any
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *packages], check=True)
        (venv / ".ready").touch()
    return python


def judged(given: Given, path: Path, target: str) -> list[str]:
    """Return the cells of one file: NVIDIA's verdict, findings, SQNR, agreement, size, and times."""
    model = onnx.load(path)
    start = time.monotonic()
    findings = lint_model(model, Context.of(registry.get(target)))
    linted = time.monotonic()
    compiled = check(model)
    checked = time.monotonic()
    said = compiled.share() if compiled.built else f"rejected: {compiled.errors[0][1][:90]}"
    kinds = [sum(f.severity == kind for f in findings) for kind in ("error", "warning")]
    figures = measure_parity(reference(given).run, fed(given, model), given.checks)
    return [
        said,
        f"{kinds[0]} errors, {kinds[1]} warnings",
        f"{figures['sqnr_db']:.1f} dB",
        f"{figures['top1_agreement']:.3f}",
        f"{path.stat().st_size / 1e6:.2f} MB ({given.float_bytes / path.stat().st_size:.1f}x smaller)",
        "SECONDS",
        f"{linted - start:.2f} s + {checked - linted:.1f} s",
    ]


def fed(given: Given, model: onnx.ModelProto) -> Callable[[Arrays], Arrays]:
    """Return the quantized file as a function, in ONNX Runtime with its optimiser off, under torch's output names."""
    session = HostSession(model.SerializeToString(), optimization="none")
    names = reference(given).names

    def run(inputs: Arrays) -> Arrays:
        return dict(zip(names, session.run(inputs).values(), strict=True))

    return run


class Named(TorchReference):
    """The torch model, with the names of its outputs at hand."""

    def __init__(self, source: ModelSource, names: list[str]) -> None:
        super().__init__(source, names)
        self.names = names


def reference(given: Given) -> Named:
    """Return the torch model as a function from arrays to arrays."""
    return Named(given.source, ["output"])


def prepared(source: ModelSource, folder: Path) -> Given:
    """Export the float model, and read the samples."""
    bundle = Bundle.open(export(source, registry.get("jetson-orin-nano-fp32"), folder))
    path = bundle.file("model.onnx")
    shapes = HostSession(path).described()[0]
    return Given(source, path, read_samples(source, "calibration", shapes), read_samples(source, "checks", shapes))


class Block(nn.Module):
    """ResNet's basic block."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first, self.second = conv(inputs, outputs, 3, stride), conv(outputs, outputs, 3)
        self.down = conv(inputs, outputs, 1, stride) if stride != 1 or inputs != outputs else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.down(x))


class ResNet18(nn.Module):
    """ResNet18's shape (20 convolutions, 8 additions) with random weights: no package carries its real ones."""

    def __init__(self, classes: int = 100) -> None:
        super().__init__()
        self.stem, self.pool = conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)
        widths = (
            (64, 64, 1),
            (64, 64, 1),
            (64, 128, 2),
            (128, 128, 1),
            (128, 256, 2),
            (256, 256, 1),
            (256, 512, 2),
            (512, 512, 1),
        )
        self.blocks, self.head = nn.Sequential(*(Block(*each) for each in widths)), nn.Linear(512, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.pool(torch.relu(self.stem(x)))).mean((2, 3)))


def conv(inputs: int, outputs: int, size: int, stride: int = 1) -> nn.Module:
    """Return a convolution and a batch norm with statistics that are not those of a new one."""
    norm = nn.BatchNorm2d(outputs)
    norm.running_mean.normal_(0, 0.1)
    norm.running_var.uniform_(0.5, 1.5)
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    return nn.Sequential(nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False), norm)


def resnet18() -> ModelSource:
    """ResNet18's shape at 96 x 96, on the photographs of the demo."""
    torch.manual_seed(0)
    photos: Callable[[Sequence[Any]], list[torch.Tensor]] = lambda crops: [  # noqa: E731
        nn.functional.interpolate(torch.from_numpy(crop), 96, mode="bilinear") for crop in crops
    ]
    calibration, checks = photos(list(efficientnet_lite0.calibration())), photos(list(efficientnet_lite0.checks()))
    return ModelSource(ResNet18().eval(), checks[0], calibration=calibration, checks=checks, name="resnet18")


SOURCES: dict[str, Callable[[], ModelSource]] = {"resnet18": resnet18, "efficientnet-lite0": efficientnet_lite0.build}

if __name__ == "__main__":
    main()
