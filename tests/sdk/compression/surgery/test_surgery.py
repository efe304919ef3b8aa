"""Rewriting a model: what shall not change does not, and what is not there is said with its place."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import seatrial
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.surgery.batch_norm import foldable
from seatrial.compression.surgery.equalize import equalizable, equalized
from seatrial.compression.surgery.settings import (
    Equalize,
    FoldBatchNorm,
    FuseAttention,
    ReplaceActivation,
    ReplaceModules,
    Rule,
)
from seatrial.source import ModelSource, load_source
from seatrial_targets.errors import ModelError, UnknownNameError, UserError

Source = Callable[..., ModelSource]


class Norms(nn.Module):
    """Norms that can be folded, and norms that can't: read twice, used twice, before the layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.first_norm = nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)
        self.read, self.read_norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.shared, self.shared_norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.early_norm, self.late = nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1)
        self.linear, self.linear_norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.first_norm(self.first(image))
        y = self.read(x)
        x = self.read_norm(y) + y
        x = self.shared_norm(self.shared(x)) + self.shared_norm(x)
        x = self.late(self.early_norm(x))
        return self.linear_norm(self.linear(x.mean((2, 3))))


def test_only_norms_that_can_be_folded_are(source: Source) -> None:
    given = source(module=Norms().eval())
    assert foldable(given) == [("first", "first_norm"), ("linear", "linear_norm")]
    made = seatrial.compress(given, [FoldBatchNorm()])
    assert made.record.steps[0].after.quality["sqnr_db"] > 100
    assert isinstance(made.source.module.first_norm, nn.Identity)
    assert made.source.module.first.bias is not None


class Uneven(nn.Module):
    """Layers whose channels differ by factors of up to 400; one of them is read twice, one stands behind ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.depthwise, self.point = nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 8, 1)
        self.clipped, self.head = nn.Conv2d(8, 8, 1), nn.Linear(8, 5)
        with torch.no_grad():
            for i, layer in enumerate((self.first, self.depthwise, self.point)):
                layer.weight *= torch.logspace(-1.3, 1.3, 8).roll(3 * i).reshape(-1, 1, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.first(image)))
        x = torch.relu(self.depthwise(x))
        x = torch.max_pool2d(self.point(x), 2)
        x = x + torch.nn.functional.relu6(self.clipped(x))
        return self.head(x.mean((2, 3)))


def test_equalizing_changes_nothing_but_what_int8_loses(source: Source) -> None:
    given = source(module=Uneven().eval())
    made = seatrial.compress(given, [Equalize(rounds=200)])
    (step,) = made.record.steps
    assert step.details["pairs"] == [["first", "depthwise"], ["depthwise", "point"]]
    assert step.after.quality["sqnr_db"] > 100
    module = made.source.module
    reaches = [
        module.first.weight.abs().amax((1, 2, 3)), module.depthwise.weight.abs().amax((1, 2, 3)),
        module.point.weight.abs().amax((0, 2, 3)),
    ]  # fmt: skip
    assert torch.allclose(reaches[0], reaches[1], rtol=0.03)
    assert torch.allclose(reaches[1], reaches[2], rtol=0.03)
    quality = [
        seatrial.compress(given, [*before, Quantize(weights="per_tensor")]).record.steps[-1].after.quality["sqnr_db"]
        for before in ((), (Equalize(),))
    ]
    assert quality[1] > quality[0] + 6


def test_a_channel_that_is_dead_is_left_alone() -> None:
    first, second = nn.Linear(2, 3), nn.Linear(3, 2)
    with torch.no_grad():
        first.weight[0] = 0
        second.weight[:, 1] = 0
    x = torch.randn(4, 2)
    wanted = second(torch.relu(first(x)))
    dead = first.weight[:2].clone()
    equalized(first, second)
    assert torch.equal(first.weight[:2], dead)
    assert torch.allclose(second(torch.relu(first(x))), wanted, atol=1e-6)


def test_weights_that_another_layer_reads_too_are_left(source: Source) -> None:
    net = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(4)))
    net[3].weight = net[0].weight
    assert equalizable(source(module=net.eval()))[0] == [("1", "2")]


class SamePadding(nn.Conv2d):
    """A convolution that pads by itself, as TensorFlow's do."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return super().forward(nn.functional.pad(image, (0, 1, 0, 1), value=self.value))

    value = 0.0


class Standardised(nn.Conv2d):
    """A convolution that does not compute with its weight as it is."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return nn.functional.conv2d(image, self.weight - self.weight.mean(), self.bias)


def test_a_convolution_of_ones_own_is_equalized_where_scaling_is_harmless(source: Source) -> None:
    ones = SamePadding(3, 3, 2)
    ones.value = 1.0
    chain = [nn.Conv2d(3, 3, 2), nn.ReLU(), SamePadding(3, 3, 2), nn.ReLU(), Standardised(3, 3, 1), nn.ReLU(), ones]
    given = source(module=nn.Sequential(*chain).eval())
    made = seatrial.compress(given, [Equalize()]).record.steps[0]
    assert made.details["pairs"] == [["0", "2"]]
    assert made.after.quality["sqnr_db"] > 100


class ReadsItsWeights(nn.Conv2d):
    """A convolution of which more than the convolution reads the weights."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.relu(super().forward(image)) + self.weight.abs().mean()


def test_weights_that_something_else_reads_are_left(source: Source) -> None:
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), ReadsItsWeights(3, 3, 1), nn.Conv2d(3, 3, 1))
    assert equalizable(source(module=net.eval()))[0] == []


def test_what_stands_between_layers_is_named(source: Source) -> None:
    relu6 = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU6(), nn.Conv2d(3, 3, 1), nn.ReLU6(), nn.Conv2d(3, 3, 1))
    with pytest.raises(UserError, match="hardtanh keeps apart 2 pairs"):
        seatrial.compress(source(module=relu6.eval()), [Equalize()])


def test_nothing_to_equalize_is_said(source: Source) -> None:
    with pytest.raises(UserError, match="there is nothing to equalize"):
        seatrial.compress(source(module=nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).eval()), [Equalize()])


class Swish(nn.Module):
    """A class of the user's own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(x)


def activated() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.SiLU(), nn.Conv2d(4, 4, 1), Swish(), nn.Conv2d(4, 2, 1), nn.SiLU())


def test_activations_are_replaced_by_the_name_of_their_class(source: Source, tmp_path: Path) -> None:
    step = ReplaceActivation(replace={"SiLU": "Hardswish", "Swish": "ReLU6"})
    made = seatrial.compress(source(module=activated().eval()), [step], tmp_path / "a.pt2")
    kinds = [type(each).__name__ for each in made.source.module]
    assert kinds == ["Conv2d", "Hardswish", "Conv2d", "ReLU6", "Conv2d", "Hardswish"]
    assert "train after this step" in made.record.steps[0].notes[0]


def test_only_some_layers(source: Source) -> None:
    step = ReplaceActivation(replace={"SiLU": "Hardswish"}, layers=("1",))
    module = seatrial.compress(source(module=activated().eval()), [step]).source.module
    assert (type(module[1]).__name__, type(module[5]).__name__) == ("Hardswish", "SiLU")


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return nn.functional.silu(self.conv(image))


def test_an_activation_that_is_called_as_a_function_is_named_with_its_line(source: Source) -> None:
    with pytest.raises(
        UserError, match=r"no module SiLU, but calls it as a function, at .*test_surgery.py:\d+ in forw"
    ):
        seatrial.compress(source(module=Functional().eval()), [ReplaceActivation(replace={"SiLU": "ReLU"})])


def test_an_activation_that_is_not_there(source: Source) -> None:
    with pytest.raises(UserError, match="no module SiLu; did you mean 'SiLU'"):
        seatrial.compress(source(module=activated().eval()), [ReplaceActivation(replace={"SiLu": "ReLU"})])


REPLACEMENTS = """
def depthwise_separable(old):
    return nn.Sequential(
        nn.Conv2d(old.in_channels, old.in_channels, old.kernel_size, old.stride, old.padding, groups=old.in_channels),
        nn.Conv2d(old.in_channels, old.out_channels, 1),
    )

def wrong(old): return 3

def failing(old): return old.nothing
"""


def test_modules_are_replaced_by_the_users_function_and_again_on_resume(
    source: Source, model_file: Callable[[str], Path], tmp_path: Path
) -> None:
    path = model_file(REPLACEMENTS)
    step = ReplaceModules(rules=(Rule(type="Conv2d", layers=("conv2",), using=f"{path}:depthwise_separable"),))

    class Interrupted:
        """Calibration data in whose reading somebody presses Ctrl-C."""

        def __iter__(self) -> Iterator[Any]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seatrial.compress(source(calibration=Interrupted()), [step, Quantize()], tmp_path / "a.pt2")
    made = seatrial.compress(source(), [step, Quantize()], tmp_path / "a.pt2", resume=True)
    assert [each.kind for each in made.record.steps] == ["replace_modules", "quantize"]
    assert made.record.steps[0].details["replaced"] == [["conv2", f"{path}:depthwise_separable"]]
    assert {"conv2.0.weight", "conv2.1.weight"} <= set(made.program.state_dict)


@pytest.mark.parametrize(
    ("rule", "error", "message"),
    [
        (
            {"type": "Conv4d", "using": "{}:wrong"},
            UserError,
            "no module matches Conv4d; the model has the classes Batch",
        ),
        ({"layers": ("cnv1",), "using": "{}:wrong"}, UnknownNameError, "unknown layer 'cnv1'; did you mean 'conv1'"),
        ({"type": "Conv2d", "using": "{}:wrong"}, ModelError, "wrong returned int, not a torch.nn.Module"),
        ({"type": "Conv2d", "using": "{}:failing"}, ModelError, "failing raised AttributeError"),
        ({"type": "Conv2d", "using": "{}:absent"}, UserError, "has no function 'absent'"),
    ],
)
def test_rules_that_can_not_be(
    source: Source, model_file: Callable[[str], Path], rule: dict[str, Any], error: type[Exception], message: str
) -> None:
    path = model_file(REPLACEMENTS)
    made = Rule(**{**rule, "using": rule["using"].format(path)})
    with pytest.raises(error, match=message):
        seatrial.compress(source(), [ReplaceModules(rules=(made,))])


class SpelledOut(nn.Module):
    """Attention as papers write it, in three dialects."""

    def __init__(self, dialect: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dialect = dialect
        self.qkv, self.out, self.drop = nn.Linear(16, 48), nn.Linear(16, 16), nn.Dropout(0.1)
        self.register_buffer("mask", torch.triu(torch.full((6, 6), -1e9), 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, 4, 4).permute(2, 0, 3, 1, 4).unbind(0)
        if self.dialect == "scaled before":
            scores = (q * 0.5) @ k.transpose(-2, -1)
        else:
            scores = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(4)
        if self.dialect == "masked":
            scores = scores + self.mask
        y = self.drop(torch.softmax(scores, -1)) @ v
        return self.out(y.transpose(1, 2).reshape(b, n, 16))


@pytest.mark.parametrize("dialect", ["plain", "scaled before", "masked"])
def test_attention_becomes_one_operator_and_answers_the_same(source: Source, tmp_path: Path, dialect: str) -> None:
    x = torch.randn(6, 1, 6, 16, generator=torch.Generator().manual_seed(1))
    given = source(module=SpelledOut(dialect).eval(), example_inputs=x[0], calibration=list(x), checks=list(x))
    made = seatrial.compress(given, [FuseAttention(), Quantize()], tmp_path / "a.pt2")
    assert made.record.steps[0].notes == ("1 attentions fused",)
    assert made.record.steps[0].after.quality["sqnr_db"] > 100
    targets = [str(node.target) for node in made.program.graph.nodes]
    assert "aten.scaled_dot_product_attention.default" in targets
    assert not any("softmax" in each for each in targets)
    assert load_source(str(tmp_path / "a.pt2")).program is not None


def test_what_is_no_attention_is_left(source: Source) -> None:
    made = seatrial.compress(source(), [FuseAttention()])
    assert made.record.steps[0].notes == ("there was no attention to fuse",)
    with pytest.raises(UserError, match=r"steps\[1\] fold_batch_norm: works on a float model.*a captured graph"):
        seatrial.compress(source(), [FuseAttention(), FoldBatchNorm()])


def test_a_float_pt2_can_be_quantized_and_its_layers_named(source: Source, tmp_path: Path) -> None:
    seatrial.compress(source(), [FoldBatchNorm()], tmp_path / "float.pt2")
    given = load_source(str(tmp_path / "float.pt2")).with_data_of(source())
    made = seatrial.compress(given, [Quantize(keep_float=("conv1",))])
    assert made.record.steps[0].details["layers"] == ["conv2", "head"]
