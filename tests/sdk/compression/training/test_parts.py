"""The parts of training by themselves: schedules, advice, checkpoints."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from seatrial.compression.training.advice import advise_learning_rate, steepest
from seatrial.compression.training.batches import Batch
from seatrial.compression.training.checkpoint import load_checkpoint, save_checkpoint
from seatrial.compression.training.objective import SupervisedObjective
from seatrial.compression.training.schedule import factor
from seatrial.compression.training.settings import Training
from seatrial_targets.errors import ModelError


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("constant", [1.0, 1.0, 1.0]),
        ("linear", [1.0, 0.5, 0.0]),
        ("cosine", [1.0, 0.5, 0.0]),
        ("step", [1.0, 0.1, 0.01]),
    ],
)
def test_schedules_at_their_start_middle_and_end(schedule: str, expected: list[float]) -> None:
    training = Training.model_validate({"schedule": schedule})
    assert [factor(training, each) for each in (0.0, 0.5, 1.0)] == pytest.approx(expected)


def test_warm_up_rises_and_the_end_is_what_was_asked_for() -> None:
    training = Training(schedule="linear", warmup=0.2, final_rate=0.1)
    assert [factor(training, each) for each in (0.0, 0.1, 0.2, 1.0)] == pytest.approx([0.0, 0.5, 1.0, 0.1])


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["constant", "linear", "cosine", "step"]), st.floats(0, 0.99))
def test_no_schedule_rises_after_its_warm_up(first: float, second: float, schedule: str, warmup: float) -> None:
    training = Training.model_validate({"schedule": schedule, "warmup": warmup})
    low, high = sorted((max(first, warmup), max(second, warmup)))
    assert factor(training, low) >= factor(training, high) - 1e-12


def test_the_steepest_fall_of_a_known_curve() -> None:
    rates = [10.0**i for i in range(-6, 1)]
    assert steepest(rates, [4.0, 4.0, 4.0, 3.9, 1.0, 1.0, 9.0]) == pytest.approx(0.005)
    with pytest.raises(ModelError, match="falls at no learning rate"):
        steepest(rates, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])


def test_advice_leaves_the_model_alone_and_lies_where_it_learns() -> None:
    torch.manual_seed(0)
    x = torch.randn(64, 8)
    module = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    before = [each.clone() for each in module.parameters()]
    batches = [Batch((x,), {}, x[:, 0].gt(0).long())] * 4
    advised = advise_learning_rate(module, batches, SupervisedObjective(), Training())
    assert 1e-3 < advised < 0.5
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


trees = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.integers() | st.text(), inner),
    max_leaves=12,
)


@settings(max_examples=30, deadline=None)
@given(trees)
def test_any_tree_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    save_checkpoint(path, tree)
    loaded = load_checkpoint(path)
    assert loaded == tree
    assert repr(loaded) == repr(tree)  # also 1 and True, 0.0 and -0.0, lists and tuples


def test_tensors_come_back_whatever_they_are(tmp_path: Path) -> None:
    shared = torch.arange(6.0)
    tree = {
        "tied": [shared, shared.view(2, 3).t()],
        0: (torch.tensor(3), torch.tensor([True]), torch.empty(0, 4), torch.ones(2, dtype=torch.bfloat16)),
        "nan": math.nan,
    }
    save_checkpoint(tmp_path / "c", tree)
    loaded = load_checkpoint(tmp_path / "c")
    assert torch.equal(loaded["tied"][1], tree["tied"][1])
    assert [each.dtype for each in loaded[0]] == [each.dtype for each in tree[0]]
    assert loaded[0][2].shape == (0, 4)
    assert math.isnan(loaded["nan"])


def test_damaged_foreign_and_missing_checkpoints_are_told_apart(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "c"
    with pytest.raises(ModelError, match="there is no checkpoint"):
        load_checkpoint(path)
    save_file({"x": torch.ones(1)}, path)
    with pytest.raises(ModelError, match="is no checkpoint of this version"):
        load_checkpoint(path)
    save_checkpoint(path, {"x": torch.ones(100)})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ModelError, match="the checkpoint is damaged"):
        load_checkpoint(path)


def test_a_checkpoint_holds_no_foreign_object(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="can't hold a object"):
        save_checkpoint(tmp_path / "c", [object()])
