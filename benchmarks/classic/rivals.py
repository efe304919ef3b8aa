"""Other quantizers, which take a float ONNX file and samples and write an INT8 one.

onnxruntime.quantization runs here, once with its defaults and once as its own documentation advises for x86-64 (uint8
activations). nncf and nvidia-modelopt pin other versions and run in environments of their own, which are made with pip
in the work folder when they are first needed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seatrial.exporters.host import HostSession

Quantizer = Callable[[Path, np.ndarray[Any, Any], Path, Path], None]
MODELOPT_SCRIPT = Path(__file__).parents[1] / "modelopt_int8.py"
NNCF_SCRIPT = """
import sys, numpy, onnx, nncf
source, data, target = sys.argv[1:]
samples = numpy.load(data)["samples"]
name = onnx.load(source).graph.input[0].name
calibration = nncf.Dataset(list(samples[:, None]), lambda each: {name: each})
onnx.save(nncf.quantize(onnx.load(source), calibration, subset_size=len(samples)), target)
"""


def onnxruntime_defaults(model: Path, samples: np.ndarray[Any, Any], out: Path, work: Path) -> None:
    """onnxruntime's own defaults for static quantization, per channel."""
    _onnxruntime(model, samples, out)


def onnxruntime_uint8(model: Path, samples: np.ndarray[Any, Any], out: Path, work: Path) -> None:
    """The same with uint8 activations, which its CPU kernels are made for."""
    from onnxruntime.quantization import QuantType

    _onnxruntime(model, samples, out, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8)


def nncf(model: Path, samples: np.ndarray[Any, Any], out: Path, work: Path) -> None:
    """nncf's defaults."""
    place = work / "nncf"
    python = place / "bin" / "python"
    if not python.is_file():
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", "nncf", "onnx", "onnxruntime"], check=True)
    script = out.with_suffix(".py")
    script.write_text(NNCF_SCRIPT, encoding="utf-8")
    _run([python, script, model, _saved(model, samples, out, "samples"), out])


def modelopt(model: Path, samples: np.ndarray[Any, Any], out: Path, work: Path) -> None:
    """nvidia-modelopt's quantizer of ONNX files, with float32 around the integers."""
    from benchmarks.tensorrt_int8 import modelopt_python

    _run([modelopt_python(work / "modelopt-venv"), MODELOPT_SCRIPT, model, _saved(model, samples, out), out, "fp32"])


RIVALS: dict[str, Quantizer] = {
    "onnxruntime.quantization, defaults": onnxruntime_defaults,
    "onnxruntime.quantization, uint8": onnxruntime_uint8,
    "nncf": nncf,
    "nvidia-modelopt": modelopt,
}


def _onnxruntime(model: Path, samples: np.ndarray[Any, Any], out: Path, **options: Any) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.rest: Iterator[Any] = iter(samples)
            self.name = _input_name(model)

        def get_next(self) -> Any:
            each = next(self.rest, None)
            return None if each is None else {self.name: each[None]}

    prepared = out.with_suffix(".prepared.onnx")
    quant_pre_process(str(model), str(prepared))
    quantize_static(str(prepared), str(out), Reader(), per_channel=True, **options)


def _input_name(model: Path) -> str:
    return next(iter(HostSession(model).described()[0]))


def _saved(model: Path, samples: np.ndarray[Any, Any], out: Path, name: str = "") -> Path:
    path = out.with_suffix(".npz")
    np.savez(path, **{name or _input_name(model): samples})
    return path


def _run(command: list[Any]) -> None:
    subprocess.run([str(each) for each in command], check=True, capture_output=True, text=True)
