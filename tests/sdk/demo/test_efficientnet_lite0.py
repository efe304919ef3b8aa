"""The demo model: real weights know real photographs, and INT8 keeps what they know."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from seatrial.demo import efficientnet_lite0 as demo
from seatrial.exporters import export
from seatrial_runner.bundle import Bundle
from seatrial_targets import registry
from seatrial_targets.errors import ModelError

pytest.importorskip("efficientnet_lite_pytorch", reason="needs the extra `demo`")


def test_photographs_are_in_one_list_only_and_on_this_disk() -> None:
    assert not set(demo.CALIBRATION) & {*demo.LABELLED, *demo.UNLABELLED}
    for name in (*demo.CALIBRATION, *demo.LABELLED, *demo.UNLABELLED):
        assert demo._photo(name).shape[2] == 3


def test_crops_are_the_same_each_time_and_normalised() -> None:
    first, again = next(demo.checks()), next(demo.checks())
    assert np.array_equal(first, again)
    assert first.shape == (1, 3, 224, 224)
    assert (first.dtype, first.min() >= -1, first.max() <= 1) == (np.float32, True, True)


def test_the_weights_know_a_cat_when_they_see_one() -> None:
    source = demo.build()
    assert int(source.call(source.inputs).argmax()) == 285
    assert source.weights_licence.startswith("Apache-2.0")


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ModelError, match=r"needs efficientnet_lite_pytorch.*pip install 'seatrial\[demo\]'"):
        demo.build()


@pytest.mark.slow
def test_int8_is_four_times_smaller_and_agrees(tmp_path: Path) -> None:
    source = demo.build()
    fp32, int8 = (
        Bundle.open(export(source, registry.get(f"x86-64-cpu-{precision}"), tmp_path)).manifest
        for precision in ("fp32", "int8")
    )
    assert fp32.parity["sqnr_db"] > 90
    assert fp32.parity["top1_agreement"] == 1
    assert int8.precision_summary == {"int8": 50}
    assert fp32.size_bytes / int8.size_bytes > 3.5
    assert int8.parity["sqnr_db"] > 18
    assert int8.parity["top1_agreement"] >= 0.93
    assert int8.accuracy["top1"] >= int8.accuracy["top1_torch"] - 0.1
    assert fp32.model_digest == int8.model_digest
