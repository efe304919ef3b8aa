"""The loop over the steps: what is measured, kept, refused, and taken up again."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

import seatrial
from seatrial.compression import table
from seatrial.compression.record import read_record
from seatrial.compression.settings import Form, StepSettings
from seatrial.compression.state import CompressionState, select
from seatrial.compression.step import Outcome, Step
from seatrial.compression.surgery.settings import FoldBatchNorm
from seatrial.source import ModelSource, load_source
from seatrial_targets.errors import ConfigError, ModelError, UnknownNameError, UserError

Source = Callable[..., ModelSource]


class Scale(StepSettings):
    """Multiplies the head's weights: a step whose effect is plain."""

    kind: ClassVar[str] = "scale"
    factor: float = 1.0
    fails: str = ""


class Final(StepSettings):
    """Says that the model is quantized now."""

    kind: ClassVar[str] = "final"
    gives: ClassVar[Form] = "quantized"


class ScaleStep(Step[Scale]):
    interrupt: ClassVar[bool] = False
    seen: ClassVar[list[float]] = []

    def check(self, state: CompressionState) -> None:
        if self.settings.factor == 0:
            raise UserError("factor: 0 leaves nothing")

    def apply(self, state: CompressionState) -> Outcome:
        if self.settings.fails == "interrupt" and ScaleStep.interrupt:
            raise KeyboardInterrupt
        if self.settings.fails == "memory":
            raise RuntimeError(
                "[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 9e12 bytes"
            )
        ScaleStep.seen.append(float(torch.rand(1)))
        with torch.no_grad():
            state.module.head.weight.mul_(self.settings.factor)
        return Outcome((f"scaled by {self.settings.factor}",), {"factor": self.settings.factor})


class FinalStep(Step[Final]):
    def apply(self, state: CompressionState) -> Outcome:
        state.form = "quantized"
        return Outcome()


@pytest.fixture(autouse=True)
def own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """`scale` and `final` are steps while a test runs."""
    here = __name__
    monkeypatch.setattr(ScaleStep, "interrupt", False)
    monkeypatch.setattr(ScaleStep, "seen", [])
    monkeypatch.setitem(table.STEPS, "scale", table.Entry(f"{here}:Scale", f"{here}:ScaleStep", ""))
    monkeypatch.setitem(table.STEPS, "final", table.Entry(f"{here}:Final", f"{here}:FinalStep", ""))
    monkeypatch.setattr(table, "_imported", lambda place: globals().get(place.partition(":")[2]) or real(place))


real = table._imported


def test_folding_changes_nothing_but_the_size(source: Source, tmp_path: Path) -> None:
    given = source()
    before = copy.deepcopy(given.module.state_dict())
    made = seatrial.compress(given, [FoldBatchNorm()], tmp_path / "small.pt2")
    (step,) = made.record.steps
    assert step.after.quality["sqnr_db"] > 100
    assert step.before.parameters - step.after.parameters == 2 * 2 * 16 - 16  # two norms go, conv1 gets a bias
    assert step.before.macs == step.after.macs == 64 * (3 * 9 * 16 + 16 * 9 * 16) + 16 * 5
    assert step.notes == ("2 batch norms folded",)
    assert all(torch.equal(before[name], value) for name, value in given.module.state_dict().items())


def test_what_is_written_reads_back(source: Source, tmp_path: Path) -> None:
    made = seatrial.compress(source(weights_licence="MIT"), [FoldBatchNorm()], tmp_path / "small.pt2")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "small.original.safetensors",
        "small.pt2",
        "small.record.json",
    ]
    loaded = load_source(str(tmp_path / "small.pt2"))
    assert loaded.recipe_digest == made.record.recipe_digest
    assert loaded.weights_licence == "MIT"
    image = torch.randn(1, 3, 8, 8)
    assert torch.allclose(loaded.call({"image": image}), made.source.call({"image": image}), atol=1e-6)
    assert read_record(tmp_path / "small.record.json") == made.record


def test_the_bundle_of_a_compressed_model_knows_its_recipe_and_its_original(source: Source, tmp_path: Path) -> None:
    made = seatrial.compress(source(), [Scale(factor=2.0)], tmp_path / "small.pt2")
    bundle = seatrial.export(str(tmp_path / "small.pt2"), "x86-64-cpu-fp32", tmp_path, data=source())
    assert bundle.manifest.recipe_digest == made.record.recipe_digest
    assert bundle.manifest.parity["sqnr_db"] == pytest.approx(made.record.steps[0].after.quality["sqnr_db"], abs=0.1)


def test_an_interrupted_compression_goes_on_and_ends_the_same(source: Source, tmp_path: Path) -> None:
    recipe = [FoldBatchNorm(), Scale(factor=3.0), Scale(factor=0.5, fails="interrupt")]
    whole = seatrial.compress(source(), recipe, tmp_path / "whole.pt2")
    drawn = ScaleStep.seen[-1]
    ScaleStep.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        seatrial.compress(source(), recipe, tmp_path / "cut.pt2")
    assert not (tmp_path / "cut.pt2").exists()
    kept = json.loads((tmp_path / "cut.work" / "progress.json").read_text())
    assert [each["kind"] for each in kept["reports"]] == ["fold_batch_norm", "scale"]
    ScaleStep.interrupt = False
    resumed = seatrial.compress(source(), recipe, tmp_path / "cut.pt2", resume=True)
    assert ScaleStep.seen[-1] == drawn, "the same random numbers as without the interruption"
    state, other = whole.source.module.state_dict(), resumed.source.module.state_dict()
    assert state.keys() == other.keys()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert [step.after for step in whole.record.steps] == [step.after for step in resumed.record.steps]
    assert not (tmp_path / "cut.work").exists()


@pytest.mark.parametrize("change", ["recipe", "model"])
def test_resuming_something_else_is_refused(source: Source, tmp_path: Path, change: str) -> None:
    ScaleStep.interrupt = True
    with pytest.raises(KeyboardInterrupt):
        seatrial.compress(source(), [Scale(fails="interrupt")], tmp_path / "cut.pt2")
    recipe = [Scale(fails="interrupt", factor=2.0 if change == "recipe" else 1.0)]
    other = source()
    if change == "model":
        other.module.head.weight.data.add_(1)
    with pytest.raises(UserError, match=f"the {change} is another one"):
        seatrial.compress(other, recipe, tmp_path / "cut.pt2", resume=True)


def test_a_wrong_order_is_refused_before_anything_runs(source: Source) -> None:
    with pytest.raises(UserError, match=r"steps\[1\] scale: works on a float model, and steps\[0\] final gives a quan"):
        seatrial.compress(source(), [Final(), Scale()])
    assert ScaleStep.seen == []


def test_settings_are_checked_before_anything_runs(source: Source) -> None:
    with pytest.raises(UserError, match=r"steps\[1\] scale: factor: 0 leaves nothing"):
        seatrial.compress(source(), [Scale(), Scale(factor=0)])
    assert ScaleStep.seen == []


def test_out_of_memory_says_what_to_do(source: Source) -> None:
    with pytest.raises(ModelError, match=r"steps\[0\] scale: out of memory; use smaller batches"):
        seatrial.compress(source(), [Scale(fails="memory")])


def test_a_model_that_becomes_nan_is_an_error(source: Source) -> None:
    with pytest.raises(ModelError, match=r"the compressed model: .*NaN or infinity"):
        seatrial.compress(source(), [Scale(factor=float("inf"))])


def test_a_recipe_with_a_slip_is_named_by_the_public_function(source: Source, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text("steps:\n  - scal: {}\n")
    with pytest.raises(ConfigError, match=r"recipe.yaml:2:5: steps\[0\].scal: unknown key"):
        seatrial.compress(source(), path)


def test_the_users_metrics_are_measured_at_each_step(source: Source) -> None:
    def evaluate(predict: Any) -> dict[str, float]:
        return {"total": float(predict(torch.ones(1, 3, 8, 8)).abs().sum())}

    record = seatrial.compress(source(evaluate=evaluate), [Scale(factor=1.0), Scale(factor=0.0001)]).record
    assert record.original.metrics == record.steps[0].after.metrics
    assert record.steps[1].after.metrics["total"] < record.original.metrics["total"]


def test_events_name_the_steps(source: Source) -> None:
    stages: list[str] = []
    seatrial.compress(source(), [Scale(), FoldBatchNorm()], on_event=lambda event: stages.append(event.stage))
    assert "1/2 scale" in stages
    assert "2/2 fold_batch_norm" in stages


NAMES = ["stem.conv", "blocks.0.conv", "blocks.1.conv", "blocks.1.norm", "head"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("head", ["head"]),
        ("blocks.*.conv", ["blocks.0.conv", "blocks.1.conv"]),
        ("blocks.1.*", ["blocks.1.conv", "blocks.1.norm"]),
        ("**conv", ["stem.conv", "blocks.0.conv", "blocks.1.conv"]),
    ],
)
def test_layers_are_named_exactly_or_by_pattern(pattern: str, found: list[str]) -> None:
    assert select((pattern,), NAMES, "layer") == found


def test_a_suffix_hits_nothing() -> None:
    with pytest.raises(UnknownNameError, match="unknown layer 'conv'"):
        select(("conv",), NAMES, "layer")
    with pytest.raises(UnknownNameError, match=r"did you mean 'blocks.0.conv'"):
        select(("blocks.0.cnv",), NAMES, "layer")
    with pytest.raises(UserError, match="no layer matches"):
        select(("*.bn",), NAMES, "layer")
