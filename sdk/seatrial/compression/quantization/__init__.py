"""Quantization: where quantizers stand, how their ranges are found, and what makes up for what rounding costs."""
