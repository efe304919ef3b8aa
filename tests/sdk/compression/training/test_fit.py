"""Training: it learns, it is seeded, it resumes to the bit, it stops when it should and says what went wrong."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from seatrial.compression.training.loop import fit
from seatrial.compression.training.settings import EarlyStopping, Training
from seatrial.compression.training.state import Position
from seatrial_targets.errors import ModelError, UserError

X = torch.randn(96, 6, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] > 0).long()


def net(dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 2))


def loader(**extra: Any) -> DataLoader[Any]:
    return DataLoader(TensorDataset(X, Y), batch_size=8, shuffle=True, **extra)


def listed() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(X.split(8), Y.split(8), strict=True))


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def stop_at(step: int) -> Callable[[nn.Module, Position], None]:
    """What a user does who presses Ctrl-C in that step."""

    def act(module: nn.Module, position: Position) -> None:
        if position.step == step:
            os.kill(os.getpid(), signal.SIGINT)

    return act


def test_it_learns_and_says_what_it_did() -> None:
    module, told = net(), []
    report = fit(module, loader(), Training(epochs=12, learning_rate=0.02), on_progress=lambda *each: told.append(each))
    accuracy = (module.eval()(X).argmax(1) == Y).float().mean()
    assert accuracy > 0.95
    assert (report.epochs, report.steps) == (12, 144)
    assert report.history[-1]["loss"] < report.history[0]["loss"] / 2
    assert told[-1][1:] == (144, 144)
    assert report.as_json()["parameters"] == sum(each.numel() for each in module.parameters())


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_every_optimizer_lowers_the_loss(optimizer: str) -> None:
    settings = Training.model_validate({"epochs": 3, "optimizer": optimizer, "learning_rate": 0.02})
    report = fit(net(), loader(), settings)
    assert report.history[-1]["loss"] < report.history[0]["loss"]


def test_the_seed_decides_everything() -> None:
    made = []
    for seed in (5, 5, 6):
        module = net()
        torch.manual_seed(random.randrange(1000))  # what the caller drew before must not matter
        fit(module, loader(), Training(epochs=2, seed=seed))
        made.append(weights(module))
    assert same(made[0], made[1])
    assert not same(made[0], made[2])


def test_the_callers_generators_and_modes_are_left_alone() -> None:
    module = net()
    module.eval()
    module[0].train()
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    expected = (torch.rand(1), random.random(), np.random.rand())
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    fit(module, loader(), Training())
    assert (torch.rand(1), random.random(), np.random.rand()) == expected
    assert [child.training for child in module] == [True, False, False, False, False]


def augmented() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Data whose order and noise come from all three global generators."""
    for _ in range(8):
        chosen = [random.randrange(96) for _ in range(4)] + torch.randperm(96)[:4].tolist()
        yield X[chosen] + torch.from_numpy(np.random.randn(8, 6).astype(np.float32)) * 0.1, Y[chosen]


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize(
    "data",
    [loader, lambda: loader(generator=torch.Generator()), listed, lambda: augmented],
    ids=["DataLoader", "DataLoader with its own generator", "list", "generators"],
)  # fmt: skip
def test_stopped_by_ctrl_c_and_resumed_it_ends_with_the_same_bits(
    tmp_path: Path, data: Callable[[], Any], accumulate: int
) -> None:
    settings = Training(
        epochs=3, learning_rate=0.01, weight_decay=0.1, clip_norm=1.0, warmup=0.1, accumulate=accumulate
    )
    through = net()
    report = fit(through, data(), settings)
    checkpoint = tmp_path / "deep" / "training.safetensors"
    for step in (2, 5):  # interrupted twice: within the first epoch, and later
        with pytest.raises(KeyboardInterrupt):
            fit(net(), data(), settings, checkpoint=checkpoint, resume=True, after_step=[stop_at(step)])
    resumed = net()
    again = fit(resumed, data(), settings, checkpoint=checkpoint, resume=True)
    assert again.resumed_at_step == 5
    assert same(weights(through), weights(resumed))
    assert again.history == report.history


def test_a_stop_in_the_last_step_of_all_loses_nothing(tmp_path: Path) -> None:
    settings = Training(steps=5, learning_rate=0.01)
    report = fit(net(), loader(), settings)
    checkpoint = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        fit(net(), loader(), settings, checkpoint=checkpoint, after_step=[stop_at(5)])
    assert fit(net(), loader(), settings, checkpoint=checkpoint, resume=True).history == report.history


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    def twice(module: nn.Module, position: Position) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("the second signal must have raised")

    with pytest.raises(KeyboardInterrupt):
        fit(net(), loader(), Training(), after_step=[twice])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_resumes_to_its_end_at_once(tmp_path: Path) -> None:
    module, checkpoint = net(), tmp_path / "c"
    fit(module, loader(), Training(epochs=2), checkpoint=checkpoint)
    again = net()
    report = fit(again, loader(), Training(epochs=2), checkpoint=checkpoint, resume=True)
    assert same(weights(module), weights(again))
    assert (report.steps, report.resumed_at_step) == (24, 24)


def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "c"
    fit(net(), loader(), Training(epochs=1), checkpoint=checkpoint)
    with pytest.raises(UserError, match="belongs to another training run"):
        fit(net(), loader(), Training(epochs=2), checkpoint=checkpoint, resume=True)


def test_early_stopping_keeps_the_best_epoch() -> None:
    values = iter([0.5, 0.9, 0.7, 0.8, 0.6])
    seen: list[dict[str, torch.Tensor]] = []
    module = net()

    def evaluate(predict: Callable[..., torch.Tensor]) -> dict[str, float]:
        assert not module.training
        assert not predict(X).requires_grad
        seen.append(weights(module))
        return {"top1": next(values)}

    stopping = EarlyStopping(metric="top1", patience=2)
    settings = Training(epochs=50, early_stopping=stopping, keep="best")
    report = fit(module, loader(), settings, evaluate=evaluate)
    assert (report.epochs, report.stopped_early, report.kept_epoch) == (4, True, 1)
    assert same(weights(module), seen[1])


def test_early_stopping_on_the_loss_needs_no_metric() -> None:
    settings = Training(epochs=200, learning_rate=1e-9, early_stopping=EarlyStopping(patience=2, min_delta=0.5))
    assert fit(net(), loader(), settings).epochs == 3


def test_an_unknown_metric_is_named() -> None:
    settings = Training(early_stopping=EarlyStopping(metric="top"))
    with pytest.raises(UserError, match="watches 'top', which nothing measures; did you mean 'top1'"):
        fit(net(), loader(), settings, evaluate=lambda predict: {"top1": 1.0})


def test_batch_norms_may_be_frozen() -> None:
    module = net()
    before = module[1].running_mean.clone()
    fit(module, loader(), Training(freeze_batch_norm=True))
    assert torch.equal(module[1].running_mean, before)


def test_accumulated_batches_make_the_step_of_one_large_batch() -> None:
    whole, parts = net(dropout=0.0)[4], net(dropout=0.0)[4]
    x = torch.randn(12, 16)
    y = x[:, 0].gt(0).long()
    settings = {"steps": 1, "optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.1}
    fit(whole, [(x, y)], Training.model_validate(settings))
    fit(parts, list(zip(x.split(4), y.split(4), strict=True)), Training.model_validate({**settings, "accumulate": 3}))
    assert torch.allclose(whole.weight, parts.weight, atol=1e-6)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 2)

    def forward(self, image: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return self.linear(image) * scale


@pytest.mark.parametrize(
    "batch",
    [
        ((X, torch.ones(96, 1)), Y),
        ({"image": X, "scale": torch.ones(96, 1)}, Y),
        {"image": X, "scale": torch.ones(96, 1), "label": Y},
        [[X.numpy(), np.ones((96, 1), np.float32)], Y.numpy()],
    ],
    ids=["pair with positions", "pair with names", "mapping", "numpy"],
)
def test_every_form_of_a_batch(batch: Any) -> None:
    torch.manual_seed(0)
    assert fit(TwoInputs(), [batch], Training(epochs=2)).steps == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "the training data is empty"),
        ((each for each in [(X, Y)]), "is empty in its second epoch"),
        ([X], "has no targets"),
        ([(X, Y, Y)], r"train\[0\]: has 3 parts"),
        ([{"picture": X}], "none of forward's inputs"),
        ([(X[:, :3], Y)], "training step 0 fails: RuntimeError: mat1 and mat2"),
        ([(X, Y.float())], "the target must be class indices"),
        ([(X, Y[:5])], "cross-entropy can't take outputs of shape"),
        ([(X * torch.nan, Y)], "step 0: the loss is nan; lower the learning rate"),
        (5, "the training data is a int"),
        (lambda: (1 / 0 for _ in range(3)), r"train\[0\]: the data raised ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_the_data_is_said(data: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        fit(net(), data, Training(epochs=2))


def test_a_failing_loss_is_the_users_line() -> None:
    from seatrial.compression.training.objective import SupervisedObjective

    def loss(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        raise ValueError("no")

    with pytest.raises(ModelError, match=r"test_fit.py:\d+ in loss.*: training step 0 fails: ValueError: no"):
        fit(net(), loader(), Training(), objective=SupervisedObjective(loss))
    with pytest.raises(ModelError, match="the loss has no gradient"):
        fit(net(), loader(), Training(), objective=SupervisedObjective(lambda outputs, target: outputs.sum().detach()))
    with pytest.raises(ModelError, match=r"the loss is \[8, 2\], not one number"):
        fit(net(), loader(), Training(), objective=SupervisedObjective(lambda outputs, target: outputs))


def test_out_of_memory_says_what_to_do() -> None:
    class Large(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ torch.empty(6, 2**45) * self.weight  # 1 PB: refused before anything is touched

    with pytest.raises(ModelError, match="out of memory with 8 examples in a batch; make batches smaller"):
        fit(Large(), loader(), Training())


def test_a_model_without_trainable_parameters_is_refused() -> None:
    with pytest.raises(ModelError, match="nothing to train"):
        fit(net().requires_grad_(False), loader())


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match="device 'cuda:7' can't be used here"):
        fit(net(), loader(), Training(device="cuda:7"))
