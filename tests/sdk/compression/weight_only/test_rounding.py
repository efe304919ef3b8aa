"""Grids and GPTQ: what must be exact is, what must be nearer is."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.compression.weight_only.gptq import Curvature, gptq
from seatrial.compression.weight_only.grid import fit_grid, levels
from seatrial_targets.errors import ModelError


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([4, 8]), st.sampled_from([16, 32]), st.booleans(), st.floats(1e-3, 1e3))
def test_no_weight_is_off_by_more_than_the_coarsest_clip_allows(
    seed: int, bits: int, group: int, symmetric: bool, size: float
) -> None:
    weight = torch.randn(3, 64, generator=torch.Generator().manual_seed(seed)) * size
    grid = fit_grid(weight, bits, group, symmetric)
    quantized = grid.quantized(weight)
    low, high = levels(bits)
    assert quantized.dtype == torch.int8
    assert (quantized >= low).all()
    assert (quantized <= high).all()
    error = (grid.restored(quantized) - weight).abs().reshape(3, -1, group)
    reach = weight.abs().reshape(3, -1, group).amax(-1, keepdim=True)
    assert (error <= 0.26 * reach + 2 * grid.scale.unsqueeze(-1)).all()
    full = reach * (2 if not symmetric else 1) / high / 2  # half a step of the range that is not clipped
    assert error.pow(2).sum() <= (full.pow(2) * group).sum() * 1.5


@pytest.mark.parametrize("symmetric", [True, False])
def test_weights_that_lie_on_a_grid_stay_as_they_are(symmetric: bool) -> None:
    q = torch.randint(-7, 8, (5, 64), generator=torch.Generator().manual_seed(0))
    q[:, 0::16], q[:, 1::16] = 7, -8 if not symmetric else -7
    weight = q.float() * 0.125
    grid = fit_grid(weight, 4, 16, symmetric)
    assert torch.equal(grid.restored(grid.quantized(weight)), weight)


def test_a_group_of_zeros_stays_zero() -> None:
    weight = torch.zeros(2, 32)
    for symmetric in (True, False):
        grid = fit_grid(weight, 4, 16, symmetric)
        assert torch.equal(grid.restored(grid.quantized(weight)), weight)


def curvature(x: torch.Tensor) -> Curvature:
    made = Curvature(x.shape[-1])
    made.add(x)
    return made


def correlated(rows: int = 400, inputs: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    mixing = torch.randn(inputs // 4, inputs, generator=generator)
    noise = 0.1 * torch.randn(rows, inputs, generator=generator)
    return torch.randn(rows, inputs // 4, generator=generator) @ mixing + noise


def test_inputs_that_have_nothing_to_do_with_each_other_leave_nothing_to_make_up_for() -> None:
    weight = torch.randn(6, 64)
    found, grid = gptq(weight, curvature(torch.eye(64)), 4, 16, False, 0.01)
    nearest = fit_grid(weight, 4, 16, False)
    assert torch.equal(found, nearest.quantized(weight))
    assert torch.allclose(grid.scale, nearest.scale)


@pytest.mark.parametrize("group", [16, 32, 64])
def test_outputs_change_less_than_by_rounding_to_the_nearest(group: int) -> None:
    x = correlated(inputs=256)
    weight = torch.randn(12, 256, generator=torch.Generator().manual_seed(5))
    found, grid = gptq(weight, curvature(x), 4, group, False, 0.01)
    nearest = fit_grid(weight, 4, group, False)
    plain = nearest.restored(nearest.quantized(weight))
    wanted = x @ weight.T
    mine = (x @ grid.restored(found).T - wanted).pow(2).mean()
    theirs = (x @ plain.T - wanted).pow(2).mean()
    assert mine < 0.5 * theirs
    assert curvature(x).error(grid.restored(found) - weight) == pytest.approx(12 * mine.item(), rel=1e-3)


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    x = correlated()
    x[:, 10:20] = 0
    weight = torch.randn(4, 64)
    found, grid = gptq(weight, curvature(x), 4, 16, True, 0.01)
    assert (grid.restored(found)[:, 10:20] == 0).all()


def test_padding_is_not_counted() -> None:
    x = correlated().reshape(4, 100, 64)
    mask = torch.ones(4, 100)
    mask[:, 50:] = 0
    masked, short = Curvature(64), Curvature(64)
    masked.add(x, mask)
    short.add(x[:, :50])
    assert torch.allclose(masked.sum, short.sum, rtol=1e-4, atol=1e-3)
    assert masked.count == short.count == 200


def test_inputs_that_are_not_finite_are_said() -> None:
    with pytest.raises(ModelError, match="NaN or infinite"):
        gptq(torch.randn(2, 16), curvature(torch.full((3, 16), torch.inf)), 4, 16, True, 0.01)
