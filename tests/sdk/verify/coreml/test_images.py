"""Resizing and resampling against torch, over generated shapes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seatrial_targets.errors import UnsupportedOpError

from .programs import check, evaluated, mb
from .test_elementwise import uniform

FEW = settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
SIZE = st.integers(2, 6)


@FEW
@given(SIZE, SIZE, st.integers(1, 9), st.integers(1, 9))
def test_resizing(height: int, width: int, high: int, wide: int) -> None:
    x = uniform((1, 2, height, width), -1, 1)
    to = {"target_size_height": high, "target_size_width": wide}

    def build(x):
        return [
            mb.resize_bilinear(x=x, sampling_mode="UNALIGN_CORNERS", **to),
            mb.resize_bilinear(x=x, sampling_mode="STRICT_ALIGN_CORNERS", **to),
            mb.resize_nearest_neighbor(x=x, **to),
            mb.resize(x=x, shape=[high, wide], resized_dims=np.uint32(2), sampling_mode="UNALIGN_CORNERS"),
            mb.resize(x=x, shape=[1, 0, wide], resized_dims=np.uint32(2), sampling_mode="STRICT_ALIGN_CORNERS"),
            mb.resize(x=x, shape=[high, wide], resized_dims=np.uint32(2), interpolation_mode="NEAREST_NEIGHBOR"),
        ]

    size = (high, wide)
    linear = F.interpolate(x, size, mode="bilinear", align_corners=False)
    nearest = F.interpolate(x, size, mode="nearest")
    wanted = [
        linear, F.interpolate(x, size, mode="bilinear", align_corners=True), nearest, linear,
        F.interpolate(x, (height, wide), mode="bilinear", align_corners=True), nearest,
    ]  # fmt: skip
    check(evaluated(build, {"x": x}), wanted)


@FEW
@given(SIZE, SIZE, st.integers(1, 3), st.integers(1, 3))
def test_upsampling(height: int, width: int, up: int, wider: int) -> None:
    x = uniform((1, 2, height, width), -1, 1)
    by = {"scale_factor_height": up, "scale_factor_width": wider}

    def build(x):
        corners = [mb.upsample_bilinear(x=x, align_corners=aligned, **by) for aligned in (False, True)]
        return [*corners, mb.upsample_nearest_neighbor(x=x, **by)]

    scale = (float(up), float(wider))
    corners = [F.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=a) for a in (False, True)]
    check(evaluated(build, {"x": x}), [*corners, F.interpolate(x, scale_factor=scale, mode="nearest")])


def test_the_other_sampling_modes_are_those_of_the_documentation() -> None:
    """The example of coremltools' documentation of resize_bilinear: [0, 1] to five and six pixels."""
    x = torch.tensor([[[0.0, 1.0]]])
    wanted = {
        "DEFAULT": ([0.0, 0.4, 0.8, 1.0, 1.0], [0.0, 1 / 3, 2 / 3, 1.0, 1.0, 1.0]),
        "OFFSET_CORNERS": ([0.1, 0.3, 0.5, 0.7, 0.9], [(2 * i + 1) / 12 for i in range(6)]),
    }

    def build(x):
        return [
            mb.resize_bilinear(x=x, target_size_height=1, target_size_width=n, sampling_mode=mode)
            for mode in wanted for n in (5, 6)
        ]  # fmt: skip

    check(evaluated(build, {"x": x}), [torch.tensor(row)[None, None] for rows in wanted.values() for row in rows])


def test_boxes_are_read_only_in_the_modes_that_are_documented() -> None:
    def build(x):
        return mb.crop_resize(x=x, boxes=[[0.0, 0.0, 1.0, 1.0]], sampling_mode="OFFSET_CORNERS")

    with pytest.raises(UnsupportedOpError, match="boxes with the sampling mode OFFSET_CORNERS"):
        evaluated(build, {"x": torch.zeros(1, 1, 2, 2)})


def test_a_form_whose_rounding_is_not_documented_is_refused() -> None:
    def build(x):
        return mb.resize(x=x, shape=[3], resized_dims=np.uint32(1), interpolation_mode="NEAREST_NEIGHBOR",
                         sampling_mode="UNALIGN_CORNERS")  # fmt: skip

    with pytest.raises(UnsupportedOpError, match="nearest neighbour with the sampling mode UNALIGN_CORNERS"):
        evaluated(build, {"x": torch.zeros(1, 1, 2)})


@FEW
@given(SIZE, SIZE, st.sampled_from(["bilinear", "nearest"]), st.booleans())
def test_resampling(height: int, width: int, mode: str, aligned: bool) -> None:
    x, grid = uniform((2, 3, height, width), -1, 1), uniform((2, 4, 5, 2), -1.6, 1.6, 1)
    names = {"constant": "zeros", "border": "border", "reflection" if aligned else "symmetric": "reflection"}

    def build(x, g):
        common = {"sampling_mode": mode, "align_corners": aligned, "coordinates_mode": "normalized_minus_one_to_one"}
        made = [mb.resample(x=x, coordinates=g, padding_mode=name, padding_value=0.0, **common) for name in names]
        half = mb.mul(x=mb.add(x=g, y=1.0), y=0.5)
        common["coordinates_mode"] = "normalized_zero_to_one"
        return [*made, mb.resample(x=x, coordinates=half, padding_mode="constant", padding_value=2.0, **common)]

    wanted = [F.grid_sample(x, grid, mode, name, align_corners=aligned) for name in names.values()]
    wanted += [F.grid_sample(x - 2, grid, mode, "zeros", align_corners=aligned) + 2]
    check(evaluated(build, {"x": x, "g": grid}), wanted, rtol=1e-4, atol=1e-4)


@FEW
@given(SIZE, SIZE)
def test_an_affine_map(height: int, width: int) -> None:
    x, matrix = uniform((1, 2, height, width), -1, 1), uniform((1, 6), -1, 1, 1)

    def build(x, m):
        return mb.affine(
            x=x, transform_matrix=m, output_height=4, output_width=3, sampling_mode="bilinear", padding_mode="constant",
            padding_value=0.0, coordinates_mode="normalized_minus_one_to_one", align_corners=True,
        )  # fmt: skip

    grid = F.affine_grid(matrix.reshape(1, 2, 3), [1, 2, 4, 3], align_corners=True)
    wanted = F.grid_sample(x, grid, "bilinear", "zeros", align_corners=True)
    check(evaluated(build, {"x": x, "m": matrix}), [wanted], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("ios", [16, 17])
def test_boxes_are_cut_out_and_resized(ios: int) -> None:
    """From corner to corner at the box's own size a crop is a slice; at half of it, every other pixel."""
    x = torch.arange(36.0).reshape(1, 1, 6, 6)
    box = torch.tensor([[1.0, 2.0, 3.0, 4.0]])  # rows 1 to 3, columns 2 to 4

    def build(x, b):
        boxes = {"boxes": b, "box_indices": [0]} if ios == 17 else {"roi": mb.reshape(x=b, shape=[1, 1, 4, 1, 1])}
        made = [
            mb.crop_resize(x=x, target_height=n, target_width=n, sampling_mode="ALIGN_CORNERS",
                           box_coordinate_mode="CORNERS_HEIGHT_FIRST", **boxes)
            for n in (3, 2)
        ]  # fmt: skip
        return [mb.reshape(x=each, shape=[n, n]) for each, n in zip(made, (3, 2), strict=True)]

    check(evaluated(build, {"x": x, "b": box}, ios=ios), [x[0, 0, 1:4, 2:5], x[0, 0, 1:4:2, 2:5:2]])
