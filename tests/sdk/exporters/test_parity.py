"""Figures of parity, where the right answer can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from seatrial.exporters.parity import measure_parity, relative_l2, sqnr_db, top1_agreement
from seatrial_targets.errors import ExportError


def test_sqnr_of_a_tenth_of_noise_is_20_db() -> None:
    signal = np.full(100, 2.0, np.float32)
    assert sqnr_db(signal, signal * 0.9) == pytest.approx(20.0, abs=1e-3)
    assert sqnr_db(signal, signal) == 150.0
    assert sqnr_db(signal, -signal * 0) == 0.0


def test_relative_l2() -> None:
    assert relative_l2(np.array([3.0, 4.0]), np.array([3.0, 4.5])) == pytest.approx(0.1)
    assert relative_l2(np.zeros(2), np.zeros(2)) == 0.0
    assert relative_l2(np.zeros(2), np.ones(2)) == float("inf")


def test_top1_agreement_counts_rows() -> None:
    first = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32)
    second = np.array([[2, 0], [0, 2], [0, 2], [0, 2]], np.float32)
    assert top1_agreement([(first, second)]) == 0.75
    image = np.zeros((1, 3, 2, 2), np.float32)
    assert top1_agreement([(image, image)]) == 1.0


def test_figures_over_samples() -> None:
    samples = [{"x": np.full((1, 2), value, np.float32)} for value in (1.0, 2.0)]
    figures = measure_parity(lambda s: {"y": s["x"]}, lambda s: {"y": s["x"] + np.float32(0.5)}, samples)
    assert figures["samples"] == 2
    assert figures["max_abs"] == 0.5
    assert figures["sqnr_db"] == pytest.approx(10 * np.log10((2 * 1 + 2 * 4) / (4 * 0.25)))
    assert figures["top1_agreement"] == 1.0


def test_nan_and_wrong_shapes_are_errors() -> None:
    sample = {"x": np.ones((1, 2), np.float32)}
    with pytest.raises(ExportError, match="sample 0: output 'y' holds NaN or infinity; float16 overflows"):
        measure_parity(lambda s: {"y": s["x"]}, lambda s: {"y": s["x"] * np.float32("nan")}, [sample])
    with pytest.raises(ExportError, match=r"output 'y' is \[2\] after export, \[1, 2\] in torch"):
        measure_parity(lambda s: {"y": s["x"]}, lambda s: {"y": s["x"][0]}, [sample])
