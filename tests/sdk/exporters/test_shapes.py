"""Shapes that a profile fixes, lists, or gives as a range."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from seatrial.exporters import export
from seatrial.exporters.host import HostSession
from seatrial.source import ModelSource
from seatrial_runner.bundle import Bundle
from seatrial_targets.errors import ExportError
from seatrial_targets.profile import TargetProfile

Profile = Callable[..., TargetProfile]


class Twice(torch.nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left * 2 + right


def source(batch: int = 1, **fields: Any) -> ModelSource:
    return ModelSource(Twice(), (torch.ones(batch, 4), torch.ones(batch, 4)), **fields)


RANGE = {"min": [1, 4], "opt": [2, 4], "max": [8, 4]}


def test_a_range_gives_a_named_axis_and_runs_at_its_ends(tmp_path: Path, profile: Profile) -> None:
    bundle = Bundle.open(export(source(), profile(shapes={"left": RANGE, "right": RANGE}), tmp_path))
    left, right = bundle.manifest.inputs
    assert left.shape == right.shape == ("left_axis0", 4)
    assert left.golden_shape == (1, 4)
    assert bundle.manifest.parity["corner_shapes_sqnr_db"] == 150
    inputs = {name: np.ones((8, 4), np.float32) for name in ("left", "right")}
    assert HostSession(bundle.file("model.onnx")).run(inputs)["output"].shape == (8, 4)


def test_a_list_of_shapes(tmp_path: Path, profile: Profile) -> None:
    shapes = {name: {"enumerated": [[1, 4], [3, 4]]} for name in ("left", "right")}
    manifest = Bundle.open(export(source(), profile(shapes=shapes), tmp_path)).manifest
    assert manifest.inputs[0].shape[1] == 4
    assert isinstance(manifest.inputs[0].shape[0], str)


def test_a_fixed_shape_stays_fixed(tmp_path: Path, profile: Profile) -> None:
    manifest = Bundle.open(export(source(), profile(shapes={"left": [1, 4]}), tmp_path)).manifest
    assert manifest.inputs[0].shape == (1, 4)


def test_dynamic_shapes_of_the_source_count_where_the_profile_is_silent(tmp_path: Path, profile: Profile) -> None:
    batch = torch.export.Dim("batch", min=2, max=16)
    made = source(batch=2, dynamic_shapes={"left": {0: batch}, "right": {0: batch}})
    assert Bundle.open(export(made, profile(), tmp_path)).manifest.inputs[0].shape == ("left_axis0", 4)


def test_one_model_has_one_digest_whatever_the_shapes(tmp_path: Path, profile: Profile) -> None:
    shapes = {"left": RANGE, "right": RANGE}
    moving = Bundle.open(export(source(), profile(shapes=shapes), tmp_path / "a")).manifest
    fixed = Bundle.open(export(source(), profile(), tmp_path / "b")).manifest
    assert moving.model_digest == fixed.model_digest


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"lefft": [1, 4]}, "'lefft', which the model has not; did you mean 'left'"),
        ({"left": [2, 4]}, r"has shape \[1, 4\], target 'test-fp32' allows \[2, 4\]"),
        ({"left": {"min": [2, 4], "opt": [2, 4], "max": [8, 4]}}, r"allows \[2, 4\] to \[8, 4\]"),
        ({"left": {"enumerated": [[2, 4], [3, 4]]}}, r"allows \[2, 4\] or \[3, 4\]"),
        ({"left": [1, 4, 1]}, "allows"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path: Path, profile: Profile, shapes: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        export(source(), profile(shapes=shapes), tmp_path)
