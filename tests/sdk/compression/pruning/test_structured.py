"""Channels and heads go with everything that hangs on them; goals are met; rounds are resumed; all can be undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

import seatrial
from seatrial.compression.pruning.channels import channel_counts
from seatrial.compression.pruning.choice import rounded
from seatrial.compression.pruning.multiples import multiple_for
from seatrial.compression.pruning.protected import output_layers
from seatrial.compression.pruning.settings import Goal, Prune
from seatrial.compression.recipe import Recipe
from seatrial.compression.training.settings import Training
from seatrial.source import ModelSource, load_source
from seatrial_targets import registry
from seatrial_targets.errors import ConfigError, ModelError, UnknownNameError, UserError

Source = Callable[..., ModelSource]


class Zoo(nn.Module):
    """Grouped, depthwise and transposed convolutions, a concatenation, group norm, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.grouped = nn.Conv2d(32, 32, 3, padding=1, groups=4)
        self.depthwise = nn.Conv2d(32, 32, 3, padding=1, groups=32)
        self.side = nn.Conv2d(32, 16, 1)
        self.norm = nn.GroupNorm(4, 48)
        self.down = nn.Conv2d(48, 32, 2, stride=2)
        self.up = nn.ConvTranspose2d(32, 16, 2, stride=2)
        self.mask, self.label = nn.Conv2d(16, 2, 1), nn.Linear(32, 5)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.grouped(torch.relu(self.stem(image))))
        x = self.norm(torch.cat([self.depthwise(x), self.side(x)], 1))
        x = torch.relu(self.down(x))
        return self.mask(torch.relu(self.up(x))), self.label(x.mean((2, 3)))


class Attention(nn.Module):
    """Four heads of four; the code takes their number from an attribute, as most code does."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.num_heads = 4
        self.query, self.key, self.value = (nn.Linear(16, 16) for _ in range(3))
        self.out = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (self._split(layer(x)) for layer in (self.query, self.key, self.value))
        y = functional.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).flatten(2))

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.num_heads, -1).transpose(1, 2)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(x)
        return x + self.second(torch.relu(self.first(x)))


def pruned(source: ModelSource, **settings: Any) -> Any:
    return seatrial.compress(source, [Prune(**{"round_to": 1, **settings})])


def counts(made: Any) -> dict[str, int]:
    return channel_counts(made.source.module)


def test_half_of_the_channels_goes_and_the_outputs_stay(source: Source) -> None:
    made = pruned(source(), amount=0.5)
    assert counts(made) == {"conv1": 8, "conv2": 8, "head": 5}
    step = made.record.steps[0]
    assert step.details["channels"] == {"conv1": [16, 8], "conv2": [16, 8]}
    assert step.after.macs == 64 * (3 * 9 * 8 + 8 * 9 * 8) + 8 * 5
    assert step.after.parameters == 3 * 9 * 8 + 16 + 8 * 9 * 8 + 8 + 16 + 8 * 5 + 5
    assert step.notes == ("16 channels of 37 removed, in 2 layers",)


@pytest.mark.parametrize("importance", ["l1", "l2", "batch_norm"])
def test_what_is_near_zero_goes_first(source: Source, importance: Any) -> None:
    """Channels that are all but zero can go without any loss: the outputs stay the same."""
    given = source()
    with torch.no_grad():
        for dead in (1, 4, 9):
            for layer in (given.module.conv1, given.module.conv2):
                layer.weight[dead] = 0
            given.module.conv2.bias[dead] = 0
            for norm in (given.module.norm1, given.module.norm2):
                norm.weight[dead] = norm.bias[dead] = 0
                norm.running_mean[dead] = 0
    made = pruned(given, importance=importance, amount=3 / 16)
    assert counts(made)["conv1"] == 13
    assert made.record.steps[0].after.quality["sqnr_db"] > 100


def test_a_search_for_the_amount_looks_at_the_training_data_once(source: Source) -> None:
    looked = []

    def train() -> list[tuple[torch.Tensor, torch.Tensor]]:
        looked.append(1)
        return [(torch.cat([source().inputs["image"]] * 2), torch.tensor([0, 1]))]

    made = seatrial.compress(source(train=train), [Prune(until=Goal(macs="60 %"), importance="taylor", round_to=1)])
    assert len(made.record.steps[0].details["tried"]) > 2
    assert len(looked) == 1


def test_taylor_keeps_what_the_loss_needs(source: Source) -> None:
    """The head reads only the last 8 channels: the others have no gradient, however large their weights."""
    given = source(train=[(torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3]))] * 2)
    with torch.no_grad():
        given.module.head.weight[:, :8] = 0
        given.module.conv2.weight[:, :8] = 0
        given.module.conv1.weight[:8] *= 50
        given.module.conv2.weight[:8] *= 50
    made = pruned(given, importance="taylor", amount=0.5)
    assert made.record.steps[0].after.quality["sqnr_db"] > 60
    assert pruned(given, importance="l2", amount=0.5).record.steps[0].after.quality["sqnr_db"] < 20


def test_random_is_the_same_with_the_same_seed(source: Source) -> None:
    def made(seed: int) -> Any:
        recipe = Recipe(steps=(Prune(importance="random", amount=0.5, round_to=1),), seed=seed)
        return seatrial.compress(source(), recipe).record.edits

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_everything_that_hangs_together_stays_consistent(source: Source, tmp_path: Path) -> None:
    made = seatrial.compress(source(module=Zoo().eval()), [Prune(amount=0.5, round_to=4)], tmp_path / "zoo.pt2")
    found = counts(made)
    assert found["mask"] == 2
    assert found["label"] == 5
    assert found["stem"] == found["grouped"] == found["depthwise"] == made.source.module.depthwise.groups
    assert found["stem"] < 32
    assert made.source.module.norm.num_channels == found["depthwise"] + found["side"]
    loaded = load_source(str(tmp_path / "zoo.pt2"))
    image = torch.randn(1, 3, 8, 8)
    for a, b in zip(loaded.call({"image": image}), made.source.call({"image": image}), strict=True):
        assert torch.allclose(a, b, atol=1e-5)


def test_layers_that_make_outputs_are_found() -> None:
    assert set(output_layers(ModelSource(Zoo().eval(), torch.zeros(1, 3, 8, 8)))) == {"mask", "label"}
    assert set(output_layers(ModelSource(Block().eval(), torch.zeros(1, 6, 16)))) == {"attention.out", "second"}


def test_heads_go_whole(source: Source) -> None:
    x = torch.randn(4, 1, 6, 16)
    given = source(module=Block().eval(), example_inputs=x[0], calibration=list(x), checks=list(x))
    names = {f"attention.{each}": 4 for each in ("query", "key", "value")}
    made = pruned(given, heads=names, head_amount=0.5)
    assert counts(made) == {
        "attention.query": 8, "attention.key": 8, "attention.value": 8, "attention.out": 16, "first": 32, "second": 16,
    }  # fmt: skip
    assert made.source.module.attention.num_heads == 2
    both = pruned(given, heads=names, head_amount=0.25, amount=0.5, keep=("attention.out",))
    assert (counts(both)["attention.query"], counts(both)["first"]) == (12, 16)


def test_attention_without_its_heads_named_is_an_error_that_says_so(source: Source) -> None:
    x = torch.randn(2, 1, 6, 16)
    given = source(module=Block().eval(), example_inputs=x[0], calibration=list(x), checks=list(x))
    with pytest.raises(ModelError, match=r"test_structured.py:\d+ in _split.*name attention heads in `heads`"):
        pruned(given, layers={"attention.query": 0.3})


def test_some_layers_by_name_and_pattern(source: Source) -> None:
    made = pruned(source(module=Zoo().eval()), layers={"side": 0.5, "do*": 0.25})
    assert (counts(made)["side"], counts(made)["down"], counts(made)["stem"]) == (8, 24, 32)


def test_kept_layers_keep_their_channels(source: Source) -> None:
    assert counts(pruned(source(module=Zoo().eval()), amount=0.5, keep=("down",)))["down"] == 32


def test_global_pruning_takes_where_it_costs_least(source: Source) -> None:
    net = nn.Sequential(nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 16, 1), nn.ReLU(), nn.Conv2d(16, 4, 1)).eval()
    with torch.no_grad():
        net[0].weight[2:] *= 1e-3  # most of this layer is nearly nothing
        net[2].weight[:, 2:] *= 1e-3
    found = counts(pruned(source(module=net), amount=0.4, scope="global"))
    assert found["0"] < 6
    assert found["2"] > 12


@pytest.mark.parametrize(
    ("goal", "figure", "limit"),
    [
        ({"macs": 0.5}, "macs", 0.5 * 175_184),
        ({"parameters": 1000}, "parameters", 1000),
        ({"size": 5000}, "size_bytes", 5000),
    ],
)
def test_a_goal_is_met_by_the_least_that_does(
    source: Source, goal: dict[str, float], figure: str, limit: float
) -> None:
    made = pruned(source(), until=Goal(**goal))
    step = made.record.steps[0]
    assert getattr(step.after, figure) <= limit
    one_more = pruned(source(), layers={"conv1": 1 - (counts(made)["conv1"] + 1) / 16})
    assert getattr(one_more.record.steps[0].after, figure) > limit


@pytest.mark.parametrize("scope", ["local", "global"])
@pytest.mark.parametrize(("goal", "figure"), [({"macs": 0.5}, "macs"), ({"parameters": 0.4}, "parameters")])
def test_the_last_of_several_rounds_meets_the_goal(
    source: Source, goal: dict[str, float], figure: str, scope: Any
) -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(4, 3, 8, 8, generator=generator), torch.tensor([0, 1, 2, 3])) for _ in range(2)]
    finetune = Training(epochs=1, learning_rate=1e-2)
    made = pruned(source(train=batches), until=Goal(**goal), rounds=3, finetune=finetune, round_to=2, scope=scope)
    step = made.record.steps[0]
    (part,) = goal.values()
    assert getattr(step.after, figure) <= part * getattr(step.before, figure)
    assert len(made.record.edits) == 3


def test_rounds_with_training_between_and_resumed(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [(torch.randn(4, 3, 8, 8, generator=generator), torch.tensor([0, 1, 2, 3])) for _ in range(3)]
    step = Prune(amount=0.5, round_to=1, rounds=3, finetune=Training(epochs=1, learning_rate=1e-3))
    whole = seatrial.compress(source(train=batches), [step], tmp_path / "whole.pt2")
    gone = [sum(len(indices) for _, _, indices in edit["history"]) for edit in whole.record.edits]
    assert gone == [6, 2, 0]  # polynomial: 19/27 and 26/27 of the half, and what was left of it

    import seatrial.compression.training.finetune as finetune

    real, calls = finetune.train, []

    def interrupted(*args: Any, **extra: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **extra)

    monkeypatch.setattr(finetune, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        seatrial.compress(source(train=batches), [step], tmp_path / "cut.pt2")
    made = seatrial.compress(source(train=batches), [step], tmp_path / "cut.pt2", resume=True)
    assert len(calls) == 2 + 2, "the first round was not done again"
    assert made.record.edits == whole.record.edits
    state, other = made.source.module.state_dict(), whole.source.module.state_dict()
    assert all(torch.equal(state[name], other[name]) for name in other)


def test_undoing_gives_the_original_back(source: Source, tmp_path: Path) -> None:
    given = source()
    seatrial.compress(given, [Prune(amount=0.5)], tmp_path / "small.pt2")
    other = source()
    with torch.no_grad():
        other.module.conv1.weight.zero_()  # as a factory without the trained weights would give it
    back = seatrial.restore_original(other, tmp_path / "small.record.json")
    assert back.digest == given.digest
    image = torch.randn(1, 3, 8, 8)
    assert torch.equal(back.call({"image": image}), given.call({"image": image}))


def test_undoing_needs_the_right_model_and_the_weights(source: Source, tmp_path: Path) -> None:
    seatrial.compress(source(), [Prune(amount=0.5)], tmp_path / "small.pt2")
    with pytest.raises(UserError, match="does not fit the model"):
        seatrial.restore_original(source(module=Zoo().eval()), tmp_path / "small.record.json")
    weights = tmp_path / "small.original.safetensors"
    data = bytearray(weights.read_bytes())
    data[-4] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UserError, match="are not those of the original"):
        seatrial.restore_original(source(), tmp_path / "small.record.json")
    weights.unlink()
    with pytest.raises(UserError, match="can't be read"):
        seatrial.restore_original(source(), tmp_path / "small.record.json")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{}", "prunes nothing: give an amount"),
        ("{amount: 50 %, until: {macs: 50 %}}", "amount and until exclude each other"),
        ("{amount: 1.0}", "prune.amount: must be"),
        ("{amount: 50 %, rounds: 3}", "rounds without training between them are one round"),
        ("{until: {macs: 50 %, size: 1 MB}}", "names one of: macs, parameters, size, latency"),
        ("{until: {size: 3 ms}}", r"must be a part of the original, '50 %', or a quantity, '3 MB'; not '3 ms'"),
        ("{until: {latncy: 3 ms}}", "unknown key; did you mean 'latency'"),
        ("{amount: 50 %, importance: l3}", "'l3' is not one of l1, l2"),
        ("{head_amount: 50 %}", "head_amount needs heads"),
    ],
)
def test_bad_settings(settings: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recipe.loads(f"steps:\n  - prune: {settings}\n")


def test_quantities_of_goals() -> None:
    def limit(text: str) -> float:
        (step,) = Recipe.loads(f"steps:\n  - prune: {{until: {text}}}\n").steps
        assert isinstance(step, Prune)
        assert step.until is not None
        return step.until.limit

    assert limit("{size: 3 MB}") == 3_000_000
    assert limit("{latency: 5 ms}") == 5_000_000
    assert limit("{macs: 50 %}") == 0.5
    assert limit("{parameters: 900000}") == 900_000


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"amount": 0.01}, "nothing was pruned: the amount is less than one step of round_to"),
        ({"amount": 0.5, "keep": ("conv*",)}, "nothing was pruned"),
        ({"until": Goal(macs=1e9)}, "the model is there already"),
        ({"until": Goal(macs=10)}, r"can't be met: with 90% of the channels gone it is still macs 5,770"),
        ({"until": Goal(latency=0.5)}, "until latency: needs a device"),
    ],
)
def test_a_recipe_that_prunes_everything_or_nothing(source: Source, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        pruned(source(), **settings)


def test_layers_that_are_not_there(source: Source) -> None:
    with pytest.raises(UnknownNameError, match=r"steps\[0\] prune: unknown layer 'conv3'; did you mean 'conv"):
        pruned(source(), amount=0.5, keep=("conv3",))


def test_a_captured_program_has_no_channels_to_remove(source: Source, tmp_path: Path) -> None:
    seatrial.compress(source(), [Prune(amount=0.5)], tmp_path / "a.pt2")
    with pytest.raises(
        UserError, match=r"works on a float model.*gives a captured one; a captured graph \(a .pt2\) has no modules"
    ):
        seatrial.compress(str(tmp_path / "a.pt2"), [Prune(amount=0.5)])


@pytest.mark.parametrize(
    ("wanted", "current", "multiple", "left"),
    [
        (33, 64, 16, 32),
        (41, 64, 16, 48),
        (3, 64, 16, 16),
        (3, 64, 1, 7),
        (9, 10, 16, 10),
        (30, 31, 8, 31),
        (1, 1, 1, 1),
    ],
)
def test_counts_are_rounded_to_what_kernels_like(wanted: int, current: int, multiple: int, left: int) -> None:
    assert rounded(wanted, current, multiple, 0.9) == left


def test_targets_say_what_they_like(source: Source) -> None:
    assert multiple_for([]) == 8
    assert multiple_for([registry.get("x86-64-cpu-int8"), registry.get("arm64-cpu-int8")]) == 16
    made = seatrial.compress(source(module=Zoo().eval()), [Prune(amount=0.3)], targets=["x86-64-cpu-fp32"])
    changed = made.record.steps[0].details["channels"]
    assert changed["down"] == [32, 16]


@pytest.mark.slow
def test_until_a_latency_measured_on_this_machine(own_home: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Conv2d(64, 8, 3)).eval()
    image = torch.randn(1, 3, 64, 64)
    plan = {"solo_runs": 5, "solo_iterations": 12, "memory_runs": 0, "energy_runs": 0, "warmup_max_ns": 300_000_000}
    made = seatrial.compress(
        ModelSource(net, image),
        [Prune(until=Goal(latency=0.5))],
        targets=["x86-64-cpu-fp32"],
        device="local",
        plan=plan,
    )
    step = made.record.steps[0]
    tried = step.details["tried"]
    assert {each["device"] for each in tried} == {"local"}
    met = [each for each in tried if each["high_ns"] <= 0.5 * tried[0]["p50_ns"]]
    assert step.details["amount"] == pytest.approx(min(each["amount"] for each in met), abs=1e-4)
    assert step.after.latency[0].p50_ns is not None
