"""On-device accuracy: the user's metric computed from what the device answered, in chunks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

import seatrial
from seatrial import api, evaluation
from seatrial.source import ModelSource
from seatrial_ci.gate import GateSettings, judge
from seatrial_runner.bundle import Bundle
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import ModelError, UserError
from seatrial_targets.inventory import local_devices

TARGET = local_devices()["local"].target
QUICK = {"solo_runs": 1, "memory_runs": 0, "energy_runs": 0, "solo_iterations": 11, "warmup_iterations": 1}
QUICK |= {"warmup_min_ns": 0, "warmup_max_ns": 10_000_000}
INPUTS = [torch.full((1, 4), float(i)) for i in range(10)]


class Sum(nn.Module):
    """Two outputs whose values are obvious: the sum, and twice the input."""

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": x.sum(dim=1, keepdim=True), "twice": 2 * x}


def mean_sum(predict: Callable[..., dict[str, torch.Tensor]]) -> dict[str, float]:
    return {"mean": sum(float(predict(x)["sum"]) for x in INPUTS) / len(INPUTS)}


def source(evaluate: Callable[..., dict[str, float]] | None) -> ModelSource:
    return seatrial.ModelSource(Sum(), (INPUTS[1],), evaluate=evaluate)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return api.export(source(None), TARGET, tmp_path_factory.mktemp("bundles"), name="sum")


@pytest.fixture
def bundle(exported: Bundle, own_home: Path) -> Bundle:
    """The one bundle, on a device that has nothing of it yet."""
    return exported


def test_metrics_are_computed_from_what_the_device_answered(
    bundle: Bundle, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "CHUNK_BYTES", 3 * (16 + 4 + 16))
    monkeypatch.setattr(evaluation.Spool.chunks, "__defaults__", (3 * (16 + 4 + 16),))
    trial = api.bench(bundle.path, "local", plan=QUICK, evaluate=source(mean_sum))
    info = trial.bundles["candidate"]
    assert info.accuracy == {"mean": 18.0, "mean_torch": 18.0}  # 4 x (0 + ... + 9) / 10
    assert info.evaluated is not None
    assert info.evaluated.samples == 10
    assert info.parity["samples"] == 10
    assert info.parity["sqnr_db"] == 150.0
    assert info.parity["max_abs"] == 0
    runs = trial.of("evaluate")
    assert [len(run.result.arms["a"].wall_ns) for run in runs] == [3, 3, 3, 1]
    assert sorted(path.name for path in (own_home / ".cache/seatrial/device").iterdir()) == ["blobs"]


def test_the_gate_judges_what_the_device_computed(bundle: Bundle) -> None:
    trial = api.bench(bundle.path, "local", plan=QUICK, evaluate=source(mean_sum))
    verdict = judge(trial, Budgets(accuracy={"mean": 19.0}, parity_sqnr_db=20.0), GateSettings())
    found = {check.metric: check for check in verdict.checks}
    assert found["accuracy mean"].outcome == "FAIL"
    assert found["parity_sqnr"].outcome == "PASS"
    assert found["accuracy mean"].method == "computed by the device from 10 samples"


def test_an_evaluation_that_differs_the_second_time_is_refused(bundle: Bundle) -> None:
    calls = iter(range(100))

    def restless(predict: Callable[..., dict[str, torch.Tensor]]) -> dict[str, float]:
        return {"x": float(predict(torch.full((1, 4), float(next(calls))))["sum"])}

    with pytest.raises(ModelError, match="other inputs the second time"):
        api.bench(bundle.path, "local", plan=QUICK, evaluate=source(restless))


def test_a_batch_that_the_bundle_does_not_take_is_named(bundle: Bundle) -> None:
    def batched(predict: Callable[..., dict[str, torch.Tensor]]) -> dict[str, float]:
        return {"x": float(predict(torch.cat(INPUTS))["sum"].sum())}

    with pytest.raises(ModelError, match=r"shape \[10, 4\], and the bundle takes \[1, 4\]; give it one at a time"):
        api.bench(bundle.path, "local", plan=QUICK, evaluate=source(batched))


def test_a_source_without_metrics_can_not_be_evaluated(bundle: Bundle) -> None:
    with pytest.raises(UserError, match="no evaluate"):
        api.bench(bundle.path, "local", plan=QUICK, evaluate=source(None))
    with pytest.raises(ModelError, match="did not call predict"):
        api.bench(bundle.path, "local", plan=QUICK, evaluate=source(lambda predict: {"x": 1.0}))
