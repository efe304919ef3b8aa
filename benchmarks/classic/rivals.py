"""Other quantizers on the same trained ResNet18, the same calibration digits and the same test digits.

    python -m benchmarks.classic.rivals --work WORK --bundle WORK/bundles/resnet18-0-FP32.x86-64-cpu-fp32

onnxruntime.quantization runs here. nncf pins other versions and runs in an environment of its own, WORK/nncf, which
this makes with pip. nvidia-modelopt is not in it: of its PTQ neither ONNX export works (see the facts in RESULTS.md).
Prints Markdown: size, SQNR against the FP32 artifact, top-1, all in this ONNX Runtime.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seatrial.exporters.host import HostSession
from seatrial.exporters.parity import sqnr_db

NNCF = """
import sys, numpy, onnx, nncf
data, source, target = sys.argv[1:]
samples = numpy.load(data)
name = onnx.load(source).graph.input[0].name
calibration = nncf.Dataset(list(samples[:, None]), lambda each: {name: each})
onnx.save(nncf.quantize(onnx.load(source), calibration, subset_size=len(samples)), target)
"""


def onnxruntime_static(model: Path, samples: np.ndarray[Any, Any], out: Path) -> None:
    """onnxruntime's own defaults for static quantization, per channel."""
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest: Iterator[Any] = iter(samples)
            self.name = next(iter(HostSession(model).described()[0]))

        def get_next(self) -> Any:
            each = next(self.rest, None)
            return None if each is None else {self.name: each[None]}

    prepared = out.with_suffix(".prepared.onnx")
    quant_pre_process(str(model), str(prepared))
    quantize_static(str(prepared), str(out), Reader(), per_channel=True)


def nncf(model: Path, samples: np.ndarray[Any, Any], out: Path) -> None:
    """nncf's defaults, in its own environment."""
    place = out.parent / "nncf"
    python = place / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "nncf", "onnx", "onnxruntime"], check=True)
    data, script = out.with_suffix(".npy"), out.with_suffix(".py")
    np.save(data, samples)
    script.write_text(NNCF, encoding="utf-8")
    subprocess.run([str(python), str(script), str(data), str(model), str(out)], check=True)


def figures(
    path: Path, reference: Path, images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]
) -> tuple[float, float]:
    """Return SQNR in dB against the reference, and top-1."""
    sessions = [HostSession(each) for each in (path, reference)]
    name = next(iter(sessions[0].described()[0]))
    found = [np.concatenate([next(iter(s.run({name: i[None]}).values())) for i in images]) for s in sessions]
    return sqnr_db(found[1], found[0]), float((found[0].argmax(1) == labels).mean())


def main() -> None:
    """Quantize with each rival and print the table."""
    from .digits import CALIBRATION, part

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, nargs="+", required=True, help="FP32 first, then ours")
    arguments = parser.parse_args()
    images, labels = (each.numpy() for each in part("test"))
    samples = part("train")[0][:CALIBRATION].numpy()
    reference = arguments.bundle[0] / "model.onnx"
    made = {f"Seatrial, {path.name}": path / "model.onnx" for path in arguments.bundle}
    for name, quantize in (("onnxruntime.quantization", onnxruntime_static), ("nncf", nncf)):
        out = arguments.work / f"rival-{name}.onnx"
        try:
            quantize(reference, samples, out)
            made[name] = out
        except Exception as error:
            print(f"{name}: {type(error).__name__}: {error}", flush=True)
    print("| quantizer | MB | SQNR dB | top-1 % |\n|---|---|---|---|")
    for name, path in made.items():
        sqnr, top1 = figures(path, reference, images, labels)
        print(f"| {name} | {path.stat().st_size / 1e6:.2f} | {sqnr:.1f} | {100 * top1:.1f} |", flush=True)


if __name__ == "__main__":
    main()
