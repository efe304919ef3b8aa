"""Single weights go: the right ones, in the right pattern; they stay gone, and nobody is promised what can't be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import seatrial
from seatrial.compression.pruning.settings import Penalty
from seatrial.compression.pruning.sparse_settings import PruneWeights
from seatrial.compression.pruning.sparsity import (
    by_channel,
    channel_order,
    from_channels,
    is_two_of_four,
    largest,
    sparsegpt,
    two_of_four,
    wanda_scores,
)
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.quantization.unfolding import Unfolding
from seatrial.compression.quantized_program import constant_value, quantizers
from seatrial.compression.recipe import Recipe
from seatrial.compression.training.settings import Finetune, Training
from seatrial.source import ModelSource
from seatrial_targets.errors import ConfigError, ModelError, UserError

Source = Callable[..., ModelSource]
BATCHES = [(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(i)), torch.arange(4)) for i in range(3)]


def pruned(source: ModelSource, *others: Any, **settings: Any) -> Any:
    return seatrial.compress(source, [PruneWeights(**settings), *others])


def zeros(made: Any) -> dict[str, float]:
    named = made.source.module.named_parameters()
    return {name: float((each == 0).float().mean()) for name, each in named if each.ndim > 1}


def test_the_smallest_weights_of_each_layer_go(source: Source) -> None:
    given = source()
    made = pruned(given, amount=0.75)
    assert zeros(made) == pytest.approx({"conv1.weight": 0.75, "conv2.weight": 0.75, "head.weight": 0.75})
    for name, parameter in given.module.named_parameters():
        if parameter.ndim > 1:
            weight, left = parameter.detach(), dict(made.source.module.named_parameters())[name]
            assert float(weight[left == 0].abs().max()) <= float(weight[left != 0].abs().min())
    assert made.record.steps[0].after.zeros == round(0.75 * (432 + 2304 + 80)) + made.record.original.zeros


def test_globally_the_layer_of_small_weights_loses_most(source: Source) -> None:
    given = source()
    with torch.no_grad():
        given.module.conv2.weight *= 1e-3
    found = zeros(pruned(given, amount=0.5, scope="global"))
    assert found["conv2.weight"] > 0.6
    assert found["conv1.weight"] == 0


def test_some_layers_have_their_own_share(source: Source) -> None:
    found = zeros(pruned(source(), layers={"conv*": 0.5}, amount=0.1, keep=("head",)))
    assert found == pytest.approx({"conv1.weight": 0.5, "conv2.weight": 0.5, "head.weight": 0})


def test_two_of_four_is_counted_along_the_input_channels(source: Source) -> None:
    made = pruned(source(), pattern="2:4")
    module = made.source.module
    assert is_two_of_four(module.conv2.weight)
    assert is_two_of_four(module.head.weight)
    assert zeros(made)["conv1.weight"] == 0  # three input channels
    assert not is_two_of_four(module.conv1.weight)
    fours = module.conv2.weight.detach().reshape(16, 4, 4, 3, 3)
    assert bool(((fours != 0).sum(2) == 2).all())
    assert "2:4 holds in 2 of 2 layers" in made.record.steps[0].notes


@pytest.mark.parametrize("method", ["magnitude", "wanda", "sparsegpt"])
@pytest.mark.parametrize("pattern", ["unstructured", "2:4"])
def test_every_method_in_every_pattern(source: Source, method: Any, pattern: Any) -> None:
    amount = {} if pattern == "2:4" else {"amount": 0.5}
    made = pruned(source(), method=method, pattern=pattern, **amount)
    found = zeros(made)
    assert found["conv2.weight"] == pytest.approx(0.5, abs=0.01)
    assert made.record.steps[0].after.quality["sqnr_db"] > 0


def dependent() -> tuple[nn.Module, list[torch.Tensor]]:
    """Inputs of which half are loud and half are quiet, and each quiet one repeats a loud one."""
    generator = torch.Generator().manual_seed(0)
    loud = torch.randn(64, 8, generator=generator)
    quiet = loud * 0.3 + 0.03 * torch.randn(64, 8, generator=generator)
    x = torch.cat([quiet, loud * 3], 1)  # SparseGPT hands on to the right
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(16, 12)).eval(), list(x[:, None])


def test_data_tells_which_weights_matter_and_what_makes_up_for_them(source: Source) -> None:
    net, inputs = dependent()
    given = source(module=net, example_inputs=inputs[0], calibration=inputs[:32], checks=inputs[32:])
    quality = {
        method: pruned(given, method=method, amount=0.5).record.steps[0].after.quality["sqnr_db"]
        for method in ("random", "magnitude", "wanda", "sparsegpt")
    }
    assert quality["wanda"] > quality["magnitude"] + 5
    assert quality["sparsegpt"] > quality["wanda"] + 5
    assert quality["magnitude"] > quality["random"]


def test_masks_hold_through_training_after_the_step(source: Source) -> None:
    made = pruned(source(train=BATCHES), Finetune(epochs=2, learning_rate=1e-2), amount=0.5)
    assert zeros(made) == pytest.approx({"conv1.weight": 0.5, "conv2.weight": 0.5, "head.weight": 0.5})
    assert made.record.steps[1].after.quality["sqnr_db"] != made.record.steps[0].after.quality["sqnr_db"]


def test_rounds_go_on_from_what_is_gone(source: Source) -> None:
    training = Training(epochs=1, learning_rate=1e-3)
    made = pruned(source(train=BATCHES), amount=0.6, rounds=3, finetune=training)
    assert zeros(made)["conv2.weight"] == pytest.approx(0.6, abs=0.001)


@pytest.mark.parametrize("rounding", ["nearest", "adaptive"])
def test_zeros_survive_quantization(source: Source, rounding: Any) -> None:
    made = pruned(source(), Quantize(rounding=rounding), pattern="2:4")
    weights = {each.layer: constant_value(made.program, each.tensor) for each in quantizers(made.program) if each.layer}
    assert is_two_of_four(weights["conv2"])
    assert is_two_of_four(weights["head"])


def test_a_penalty_pulls_weights_to_zero_before_the_first_round(source: Source) -> None:
    training = Training(epochs=3, learning_rate=1e-2)
    plain, pulled = (
        pruned(source(train=BATCHES), amount=0.5, finetune=training, penalty=penalty).source.module
        for penalty in (None, Penalty(norm="l1", weight=0.05))
    )
    left, whole = (float(module.conv2.weight.detach().abs().sum()) for module in (pulled, plain))
    assert left < 0.8 * whole


def test_runtimes_that_make_nothing_of_zeros_are_named(source: Source) -> None:
    notes = seatrial.compress(
        source(),
        [PruneWeights(pattern="2:4")],
        targets=["x86-64-cpu-fp32", "jetson-orin-nano-fp16", "jetson-nano-fp16", "iphone-a17-fp16"],
    ).record.steps[0].notes  # fmt: skip
    text = dict(note.split(": ", 1) for note in notes[2:])
    assert "no kernels for sparse weights" in text["x86-64-cpu-fp32"]
    assert "Ampere" in text["jetson-orin-nano-fp16"]
    assert "can't skip even those of 2:4" in text["jetson-nano-fp16"]
    assert "file shrinks" in text["iphone-a17-fp16"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{}", "prunes nothing: give an amount"),
        ("{amount: 100 %}", "prune_weights.amount"),
        ('{pattern: "2:4", amount: 50 %}', "2:4 always takes half"),
        ('{pattern: "2:4", rounds: 3, finetune: {}}', "2:4 is reached in one round"),
        ("{amount: 50 %, method: wanda, scope: global}", "scope global ranks all weights by magnitude"),
        ("{amount: 50 %, method: wnada}", "did you mean 'wanda'"),
        ("{amount: 50 %, penalty: {weight: 0.1}}", "a penalty acts in training; add finetune"),
    ],
)
def test_bad_settings(settings: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe.loads(f"steps:\n  - prune_weights: {settings}\n")


@pytest.mark.parametrize(
    ("fields", "settings", "error", "message"),
    [
        ({}, {"amount": 0.5, "keep": ("conv*", "head")}, UserError, "nothing would be pruned"),
        ({}, {"amount": 1e-6}, UserError, "nothing was pruned"),
        ({"calibration": None}, {"amount": 0.5, "method": "wanda"}, ModelError, "needs `calibration`"),
    ],
)
def test_what_can_not_be_done(
    source: Source, fields: dict[str, Any], settings: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pruned(source(**fields), **settings)


def test_interrupted_rounds_go_on(source: Source, tmp_path: Path) -> None:
    step = PruneWeights(amount=0.6, rounds=2, finetune=Training(epochs=1), penalty=Penalty(weight=1e-3))
    whole = seatrial.compress(source(train=lambda: BATCHES), [step], tmp_path / "whole.pt2")
    epochs: list[int] = []

    def interrupted() -> Any:
        epochs.append(1)
        if len(epochs) == 3:
            raise KeyboardInterrupt
        return BATCHES

    with pytest.raises(KeyboardInterrupt):
        seatrial.compress(source(train=interrupted), [step], tmp_path / "cut.pt2")
    made = seatrial.compress(source(train=interrupted), [step], tmp_path / "cut.pt2", resume=True)
    assert len(epochs) == 4, "neither the training before nor the first round was done again"
    state, other = made.source.module.state_dict(), whole.source.module.state_dict()
    assert all(torch.equal(state[name], other[name]) for name in other)


def test_rows_by_channel_and_back() -> None:
    weight = torch.arange(2 * 4 * 3 * 3).reshape(2, 4, 3, 3).float()
    rows = by_channel(weight, 1)
    assert rows[0, 0, :4].tolist() == weight[0, :, 0, 0].tolist()
    assert torch.equal(from_channels(rows, weight.shape), weight)
    assert torch.equal(weight.reshape(2, -1)[:, channel_order(weight.shape)], rows[0])
    grouped = by_channel(weight, 2)
    assert grouped.shape == (2, 1, 36)
    linear = torch.randn(3, 8)
    assert torch.equal(from_channels(by_channel(linear, 1), linear.shape), linear)


def test_masks_of_known_scores() -> None:
    scores = torch.tensor([[[1.0, 4.0, 3.0, 2.0, 0.0, 0.0, 5.0, 0.0]]])
    assert two_of_four(scores)[0, 0, :4].tolist() == [False, True, True, False]
    assert int(two_of_four(scores).sum()) == 4
    assert largest(scores, 0.5, by_row=True)[0, 0].tolist() == [False, True, True, True, False, False, True, False]
    h = torch.diag(torch.tensor([4.0, 1.0])).double()[None]
    assert wanda_scores(torch.tensor([[[1.0, -3.0]]]), h).tolist() == [[[2.0, 3.0]]]


def test_sparsegpt_makes_up_for_a_twin() -> None:
    """Two inputs that are always equal: one weight takes over what the other had."""
    x = torch.tensor([[1.0, 1.0], [2.0, 2.0], [-1.0, -1.0]])
    h = Unfolding().curvature([x])
    (found,) = sparsegpt(torch.tensor([[[0.5, 0.4]]]), h, 0.5)
    assert sorted(np.round(found[0].tolist(), 2)) == pytest.approx([0.0, 0.9], abs=0.02)
