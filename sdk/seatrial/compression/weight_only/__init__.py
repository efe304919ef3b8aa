"""Weight-only quantization of language models: INT8 or INT4 in groups, rounded with calibration data where there is."""
