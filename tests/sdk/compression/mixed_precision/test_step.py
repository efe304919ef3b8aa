"""The step on a net with one layer that INT8 hurts: it is found, kept in float, and its price is on the curve."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import seatrial
from seatrial.compression.latency import Bench
from seatrial.compression.mixed_precision.mixed import MixedPrecisionStep
from seatrial.compression.mixed_precision.search import half_wanted
from seatrial.compression.mixed_precision.settings import MixedPrecision
from seatrial.compression.recipe import Recipe
from seatrial.compression.state import CompressionState
from seatrial.exporters.pt2 import load_pt2
from seatrial.source import ModelSource
from seatrial_targets import registry
from seatrial_targets.errors import ConfigError, UserError

Source = Callable[..., ModelSource]


class Fragile(nn.Module):
    """The second convolution reads one channel 300 times as large as the others, which then are all rounded off."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.fragile = nn.Conv2d(8, 8, 3, padding=1)
        self.last = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, 5)
        with torch.no_grad():
            self.first.weight[0] *= 300
            self.first.bias[0] = 0
            self.fragile.weight[:, 0] /= 300

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(image))
        x = torch.relu(self.last(torch.relu(self.fragile(x))))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def fragile(source: Source) -> ModelSource:
    return source(module=Fragile().eval())


def mixed(fragile: ModelSource, out: Path | None = None, **settings: Any) -> Any:
    return seatrial.compress(fragile, [MixedPrecision(bias_correction=False, **settings)], out)


def test_the_layer_that_int8_hurts_is_kept_in_float(fragile: ModelSource, tmp_path: Path) -> None:
    made = mixed(fragile, tmp_path / "small.pt2", candidates=1)
    (step,) = made.record.steps
    details = step.details
    assert next(iter(details["sensitivity"])) == "fragile"
    assert details["chosen"] == ["fragile"]
    assert details["points"][1]["quality"] > details["points"][0]["quality"] + 3
    assert details["cost"] == "estimated"
    assert any("ESTIMATE" in note for note in step.notes)
    assert any(note.startswith("1 layers stay in float: fragile") for note in step.notes)
    weights = {each.layer for each in quantized(tmp_path / "small.pt2")}
    assert weights == {"first", "last", "head"}
    drawing = (tmp_path / "small.tradeoff.svg").read_text()
    assert drawing.count("<circle") == len(details["points"])
    saved = json.loads((tmp_path / "small.record.json").read_text())
    assert saved["steps"][0]["details"]["points"] == details["points"]


def test_a_layer_in_float16_is_the_cheaper_way_on_arm(fragile: ModelSource, tmp_path: Path) -> None:
    steps = [MixedPrecision(bias_correction=False, candidates=1, activations="symmetric")]
    made = seatrial.compress(fragile, steps, tmp_path / "small.pt2", targets=["arm64-cpu-int8"])
    (step,) = made.record.steps
    assert (step.details["chosen"], step.details["chosen_half"]) == ([], ["fragile"])
    assert step.notes[0].startswith("1 layers in float16: fragile (")
    all_int8, half = step.details["points"][:2]
    assert half["quality"] > all_int8["quality"] + 3
    assert {each.layer for each in quantized(tmp_path / "small.pt2")} == {"first", "last", "head"}
    assert "<title>fragile (float16)</title>" in (tmp_path / "small.tradeoff.svg").read_text()


def test_a_layer_that_float16_does_not_hold_stays_in_float32(fragile: ModelSource) -> None:
    with torch.no_grad():  # the same function, through values of some 100,000
        fragile.module.first.weight[0] *= 1000
        fragile.module.fragile.weight[:, 0] /= 1000
    made = seatrial.compress(
        fragile, [MixedPrecision(candidates=1, activations="symmetric")], targets=["arm64-cpu-int8"]
    )
    details = made.record.steps[0].details
    assert (details["chosen"], details["chosen_half"]) == (["fragile"], [])
    assert details["layers"][0]["half_noise"] is None


@pytest.mark.parametrize(("half", "target", "tried"), [
    ("auto", "arm64-cpu-int8", True), ("auto", "x86-64-cpu-int8", False), (True, "x86-64-cpu-int8", True),
    ("auto", "raspberry-pi-4-int8", False), ("auto", "jetson-orin-nano-int8", False), (False, "arm64-cpu-int8", False),
])  # fmt: skip
def test_where_float16_is_tried(half: Any, target: str, tried: bool) -> None:
    assert half_wanted(MixedPrecision(half=half), [registry.get(target)]) is tried
    assert half_wanted(MixedPrecision(), []) is False


def quantized(path: Path) -> list[Any]:
    from seatrial.compression.quantized_program import quantizers

    program = load_pt2(path).program
    return [each for each in quantizers(program) if each.kind == "weight"]  # type: ignore[arg-type]


def test_targets_decide(fragile: ModelSource) -> None:
    none = mixed(fragile, most_latency=0.0, candidates=1).record.steps[0].details
    assert none["chosen"] == []
    best = max(each["quality"] for each in none["points"])
    enough = mixed(fragile, least_quality=best - 0.1, candidates=1).record.steps[0].details
    assert enough["chosen"] == ["fragile"]
    with pytest.raises(UserError, match=r"steps\[0\] mixed_precision: no assignment reaches 90; the best one measured"):
        mixed(fragile, least_quality=90.0, candidates=1)


def test_layers_that_stay_float_anyway_are_no_candidates(fragile: ModelSource) -> None:
    details = mixed(fragile, keep_float=("fragile", "first"), candidates=9).record.steps[0].details
    assert set(details["sensitivity"]) == {"last", "head"}
    assert len(details["layers"]) == 1  # one layer at least must be left to quantize


@pytest.mark.parametrize("metric", ["divergence", "top1"])
def test_other_metrics_find_it_too(source: Source, metric: str) -> None:
    module = Fragile().eval().requires_grad_(False)
    images = torch.cat(list(source().checks))
    labels = module(images).argmax(1)

    def evaluate(predict: Any) -> dict[str, float]:
        wrong = (torch.cat([predict(each[None]) for each in images]) - module(images)).abs().mean()
        return {"top1": float((predict(images[:1]).argmax(1) == labels[:1]).float()) - float(wrong)}

    given = source(module=module, evaluate=evaluate)
    details = mixed(given, metric=metric, candidates=1).record.steps[0].details
    assert next(iter(details["sensitivity"])) == "fragile"


def test_what_is_wrong_is_said_before_anything_runs(fragile: ModelSource) -> None:
    with pytest.raises(UserError, match="cost: measured needs a device; give --device NAME"):
        mixed(fragile, cost="measured")
    with pytest.raises(UserError, match="metric 'top1' needs `evaluate`"):
        mixed(fragile, metric="top1")
    with pytest.raises(ConfigError, match="give least_quality or most_latency, not both"):
        Recipe.loads("steps:\n  - mixed_precision: {least_quality: 20, most_latency: 0.1}\n")


@pytest.mark.slow
def test_costs_are_measured_on_a_device(fragile: ModelSource, own_home: Path) -> None:
    plan = {"duet_iterations": 12, "warmup_min_ns": 1_000_000, "duet_warmup_max_ns": 20_000_000}
    bench = Bench("local", ("x86-64-cpu-int8",), plan=plan)
    state = CompressionState.of(fragile, targets=(registry.get("x86-64-cpu-int8"),), bench=bench)
    settings = MixedPrecision(candidates=1, runs=2, bias_correction=False, most_latency=99.0)
    details = MixedPrecisionStep(settings).apply(state).details
    assert (details["cost"], details["target"]) == ("measured", "x86-64-cpu-int8")
    assert all(each["measured"] for each in details["points"])
    assert details["points"][1]["low"] <= details["points"][1]["latency"] <= details["points"][1]["high"]
    assert details["float_latency"] > 0
    assert [each["path"] for each in details["layers"]] == ["fragile"]
