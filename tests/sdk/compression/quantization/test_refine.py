"""Adaptive rounding and bias correction: layers whose errors are known, and that nothing gets worse."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import seatrial
from seatrial.compression.quantization.refine import channel_means
from seatrial.compression.quantization.rounding import rounded
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.quantization.unfolding import Unfolding
from seatrial.compression.quantization.walk import walk
from seatrial.source import ModelSource

Source = Callable[..., ModelSource]
ATEN = torch.ops.aten


def convolution(weight: torch.Tensor, stride: int, padding: int, groups: int) -> Any:
    return SimpleNamespace(
        target=ATEN.conv2d.default, args=(None, None, None, [stride] * 2, [padding] * 2, [1, 1], groups)
    )


@pytest.mark.parametrize(
    ("channels", "made", "kernel", "stride", "padding", "groups"),
    [(8, 16, 3, 2, 1, 1), (8, 8, 3, 1, 1, 8), (8, 12, 1, 1, 0, 1), (8, 16, 5, 2, 0, 4)],
)
def test_the_curvature_gives_the_error_of_the_outputs(
    channels: int, made: int, kernel: int, stride: int, padding: int, groups: int
) -> None:
    torch.manual_seed(0)
    x = torch.rand(3, channels, 9, 9)
    weight = torch.randn(made, channels // groups, kernel, kernel)
    unfolding = Unfolding.of_node(convolution(weight, stride, padding, groups), weight)
    assert unfolding is not None
    layer = torch.nn.Conv2d(channels, made, kernel, stride, padding, groups=groups)
    assert unfolding == Unfolding.of_layer(layer)
    h = unfolding.curvature([x])
    scale = (weight.abs().amax((1, 2, 3)) / 7).reshape(groups, -1, 1)
    rows = weight.reshape(groups, made // groups, -1)
    q = rounded(rows, scale, (-7, 7), h).float() * scale
    nearest = (rows / scale).round() * scale

    def error(rounded: torch.Tensor) -> float:
        difference = (rows - rounded).reshape(weight.shape)
        return float(
            torch.nn.functional.conv2d(x, difference, stride=stride, padding=padding, groups=groups).square().sum()
        )

    told = torch.einsum("gnk,gkl,gnl->", (rows - q).double(), h, (rows - q).double())
    assert error(q) == pytest.approx(float(told), rel=1e-4)
    assert error(q) < 0.8 * error(nearest)


def test_inputs_that_are_equal_let_errors_cancel() -> None:
    """Two weights of 0.5 on the same input: rounding both up is off by 1, one up and one down is exact."""
    h = torch.ones(1, 2, 2, dtype=torch.float64)
    found = rounded(torch.tensor([[[0.51, 0.51]]]), torch.ones(1, 1, 1), (-127, 127), h)
    assert int(found.sum()) == 1


def test_without_any_input_rounding_is_to_the_nearest() -> None:
    found = rounded(torch.tensor([[[0.4, 0.6]]]), torch.ones(1, 1, 1), (-127, 127), torch.zeros(1, 2, 2).double())
    assert found.tolist() == [[[0, 1]]]


def test_a_centred_curvature_does_not_see_the_mean() -> None:
    h = Unfolding().curvature([torch.full((5, 2), 3.0)], centred=True)
    assert float(h.abs().max()) == 0.0


def test_layers_of_an_unknown_kind_are_left() -> None:
    assert Unfolding.of_node(SimpleNamespace(target=ATEN.conv3d.default, args=()), torch.ones(1)) is None
    assert Unfolding.of_layer(torch.nn.Conv2d(1, 1, 3, padding="same")) is None
    assert Unfolding.of_layer(torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")) is None


def test_one_axis_is_a_row_of_two() -> None:
    layer = torch.nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2, bias=False)
    unfolding = Unfolding.of_layer(layer)
    assert unfolding is not None
    x = torch.randn(2, 4, 9)
    rows = unfolding.rows(x)
    made = torch.einsum("gpk,gnk->gpn", rows, layer.weight.reshape(2, 3, -1)).reshape(2, 2, 5, 3)
    assert torch.allclose(made.permute(1, 0, 3, 2).reshape(2, 6, 5), layer(x), atol=1e-5)


def test_what_was_pruned_stays_pruned() -> None:
    weight = torch.tensor([[[0.0, 0.7, 0.0, 0.7]]])
    found = rounded(weight, torch.ones(1, 1, 1), (-127, 127), torch.ones(1, 4, 4, dtype=torch.float64))
    assert found[0, 0, 0] == found[0, 0, 2] == 0


@pytest.mark.parametrize(
    ("name", "shape", "axis"),
    [("linear.default", (2, 7, 3), 2), ("conv2d.default", (2, 3, 4, 5), 1), ("conv1d.default", (3, 5), 0)],
)
def test_means_are_per_channel(name: str, shape: tuple[int, ...], axis: int) -> None:
    base, _, overload = name.partition(".")
    node = SimpleNamespace(target=getattr(getattr(ATEN, base), overload))
    value = torch.rand(shape)
    others = tuple(i for i in range(len(shape)) if i != axis)
    assert torch.allclose(channel_means(node, [value, value]).float(), value.mean(others))


def test_a_walk_gives_what_the_module_gives(source: Source) -> None:
    made = seatrial.compress(source(), [Quantize(bias_correction=False)])
    images = [torch.randn(1, 3, 8, 8) for _ in range(3)]
    found = walk(made.source.module, [(image,) for image in images])
    for image, (answer,) in zip(images, found, strict=True):
        assert torch.equal(answer, made.source.module(image))


class Doubler:
    """Doubles the weights of the first layer when it is reached."""

    def __init__(self, module: Any) -> None:
        self.module, self.seen = module, 0

    def before(self, node: Any, inputs: list[torch.Tensor]) -> None:
        if self.seen == 0:
            self.module.conv1.weight_scale.mul_(2)

    def after(self, node: Any, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
        self.seen += 1
        return outputs


def test_what_a_visitor_changes_is_seen_by_that_very_layer(source: Source) -> None:
    """Its dequantized weight stands at the top of the graph, and was computed long before."""
    made = seatrial.compress(source(), [Quantize(bias_correction=False)])
    image = torch.randn(1, 3, 8, 8)
    ((changed,),) = walk(made.source.module, [(image,)], Doubler(made.source.module))
    assert torch.equal(changed, made.source.module(image))


def coarse() -> torch.nn.Module:
    """Many inputs that say the same, and one large weight that makes the step coarse for all others."""
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 64, 1), torch.nn.ReLU(), torch.nn.Conv2d(64, 8, 1)).eval()
    with torch.no_grad():
        net[2].weight[0, 0] = 5.0
    return net


def test_both_help_where_rounding_is_coarse_and_add_up(source: Source) -> None:
    quality = {}
    for rounding in ("nearest", "adaptive"):
        for correct in (False, True):
            step = Quantize(rounding=rounding, bias_correction=correct, weights="per_tensor")  # type: ignore[arg-type]
            record = seatrial.compress(source(module=coarse()), [step]).record
            quality[rounding, correct] = record.steps[0].after.quality["sqnr_db"]
    assert quality["nearest", True] > quality["nearest", False] + 1
    assert quality["adaptive", True] > quality["nearest", True] + 1


def test_what_does_not_help_is_not_used(source: Source) -> None:
    exact = torch.nn.Conv2d(3, 4, 1)
    with torch.no_grad():
        exact.weight.copy_(torch.eye(4, 3)[:, :, None, None] * 127)
        exact.bias.zero_()
    images = [torch.randint(-127, 128, (1, 3, 8, 8)).float() for _ in range(4)]
    images[0][0, 0, 0, 0] = 127.0
    given = source(module=exact.eval(), example_inputs=images[0], calibration=images, checks=images)
    (step,) = seatrial.compress(given, [Quantize()]).record.steps
    assert step.after.quality["sqnr_db"] > 100
    assert step.notes[1] == "bias correction: +0.0 dB on the calibration samples, not used"
