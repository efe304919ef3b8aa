"""Quantize one ONNX file with nvidia-modelopt, on the CPU. Run by tensorrt_int8.py in an environment of its own.

python modelopt_int8.py FLOAT.onnx CALIBRATION.npz OUT.onnx fp32|fp16
"""

from __future__ import annotations

import sys

import numpy as np
from modelopt.onnx.quantization import quantize


def main(source: str, data: str, made: str, precision: str) -> None:
    """Write the INT8 file; what is not quantized is in ``precision``."""
    quantize(
        source,
        quantize_mode="int8",
        calibration_data=dict(np.load(data).items()),
        calibration_method="max",
        calibration_eps=["cpu"],
        high_precision_dtype=precision,
        output_path=made,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
