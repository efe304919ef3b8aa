"""Quantization-aware training: it repairs what rounding broke, and its scales arrive bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

import seatrial
from seatrial.compression.distillation.settings import Distillation, FeaturePair
from seatrial.compression.pruning.sparse_settings import PruneWeights
from seatrial.compression.quantization.qat_settings import Qat
from seatrial.compression.quantization.settings import Quantize
from seatrial.compression.quantized_program import quantizers
from seatrial.exporters.capture import to_onnx
from seatrial.source import ModelSource
from seatrial_targets.errors import ModelError, UnknownNameError, UserError

Source = Callable[..., ModelSource]


def batches(source: ModelSource, labels: bool = True) -> list[Any]:
    images = torch.randn(128, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        answers = source.module(images).argmax(1)
    return list(zip(images.split(16), answers.split(16), strict=True)) if labels else list(images.split(16))


@pytest.fixture
def trainable(source: Source) -> ModelSource:
    import dataclasses

    made = source()
    return dataclasses.replace(made, train=batches(made))


def test_training_on_brings_the_model_nearer_than_rounding_alone(trainable: ModelSource) -> None:
    with torch.no_grad():
        trainable.module.conv2.weight[0] *= 40  # with one scale for all channels the others are rounded off
    distil = Distillation(answers="values", hard_weight=0.0)
    settings = Qat(epochs=6, learning_rate=3e-3, distil=distil, weights="per_tensor")
    plain = seatrial.compress(trainable, [Quantize(weights="per_tensor", bias_correction=False)])
    made = seatrial.compress(trainable, [settings])
    before, after = (each.record.steps[0].after.quality["sqnr_db"] for each in (plain, made))
    assert after > before
    step = made.record.steps[0]
    assert step.details["history"][-1]["loss"] < step.details["history"][0]["loss"]
    assert "3 layers as INT8" in step.notes
    assert "teacher: original" in step.notes


def test_scales_arrive_in_onnx_bit_for_bit(trainable: ModelSource, tmp_path: Path) -> None:
    made = seatrial.compress(trainable, [Qat(epochs=1)], tmp_path / "q.pt2")
    model = to_onnx(made.program, ["image"], 20)
    stored = [onnx.numpy_helper.to_array(each).reshape(-1) for each in model.graph.initializer]
    stored += [
        onnx.numpy_helper.to_array(attribute.t).reshape(-1)
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
    ]
    scales = {float(value) for array in stored if array.dtype == "float32" for value in array}
    learned = quantizers(made.program)
    assert {each.kind for each in learned} == {"activation", "weight"}
    wanted = {float(torch.tensor(scale, dtype=torch.float32)) for each in learned for scale in each.scale}
    assert wanted <= scales
    bundle = seatrial.export(str(tmp_path / "q.pt2"), "x86-64-cpu-int8", tmp_path)
    assert bundle.manifest.precision_summary["int8"] == 3


def test_features_of_a_teacher_reach_a_student_with_quantizers(trainable: ModelSource) -> None:
    distil = Distillation(hard_weight=0.5, features=(FeaturePair(student="conv2"),))
    made = seatrial.compress(trainable, [Qat(epochs=1, distil=distil)])
    assert set(made.record.steps[0].details["history"][0]["parts"]) == {"task", "response", "features"}


def test_ranges_of_activations_stay_when_they_are_frozen(trainable: ModelSource) -> None:
    from seatrial.compression.quantization.pt2e import FakeQuantize
    from seatrial.compression.quantization.qat import QatStep, _is_of_weight
    from seatrial.compression.training.state import Position

    step = QatStep(Qat(freeze_ranges=0.5))
    made = torch.nn.ModuleList([FakeQuantize(), FakeQuantize(averaging_constant=1.0)])
    step._freeze(made, Position(1, 0, 0.4))
    assert [bool(each.observer_enabled) for each in made] == [True, True]
    step._freeze(made, Position(2, 0, 0.6))
    assert [bool(each.observer_enabled) for each in made] == [False, True]
    assert [_is_of_weight(each) for each in made] == [False, True]


def test_ctrl_c_in_training_loses_nothing(trainable: ModelSource, tmp_path: Path) -> None:
    import dataclasses

    recipe = [Qat(epochs=2, checkpoint_every=1)]
    through = seatrial.compress(trainable, recipe)
    given = batches(trainable)

    class Stopping(list[Any]):
        seen = 0

        def __iter__(self) -> Any:
            for each in list.__iter__(self):
                Stopping.seen += 1
                if Stopping.seen == 11:
                    raise KeyboardInterrupt
                yield each

    with pytest.raises(KeyboardInterrupt):
        seatrial.compress(dataclasses.replace(trainable, train=Stopping(given)), recipe, tmp_path / "q.pt2")
    resumed = seatrial.compress(dataclasses.replace(trainable, train=given), recipe, tmp_path / "q.pt2", resume=True)
    assert resumed.record.steps[0].details["resumed_at_step"] == 10
    first, second = (each.source.module.state_dict() for each in (through, resumed))
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_is_wrong_is_said(source: Source, trainable: ModelSource) -> None:
    with pytest.raises(ModelError, match="needs `train` of the model source"):
        seatrial.compress(source(), [Qat()])
    with pytest.raises(UnknownNameError, match="did you mean 'conv"):
        seatrial.compress(trainable, [Qat(keep_float=("conv3",))])
    with pytest.raises(UserError, match="nothing would be quantized"):
        seatrial.compress(trainable, [Qat(keep_float=("conv*", "head"))])
    with pytest.raises(UserError, match="works on a float model"):
        seatrial.compress(trainable, [Qat(epochs=1), Qat(epochs=1)])


def test_the_users_own_loop_trains_what_we_prepared(source: Source) -> None:
    import dataclasses

    given = source()
    data, seen = batches(given), []

    def fit(module: torch.nn.Module) -> None:
        seen.append(module.training)
        optimizer = torch.optim.SGD(module.parameters(), lr=1e-2, momentum=0.9, weight_decay=1e-3)
        for images, answers in data:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(images), answers).backward()
            optimizer.step()

    recipe = [PruneWeights(amount=0.5, keep=("head",)), Qat()]
    made = seatrial.compress(dataclasses.replace(given, fit=fit), recipe)
    assert seen == [True]
    assert made.record.steps[1].notes[0].startswith("trained by your own loop")
    weights = {each.tensor: made.program.state_dict[each.tensor] for each in quantizers(made.program) if each.layer}
    assert float((weights["conv2.weight"] == 0).float().mean()) >= 0.5
    plain = seatrial.compress(given, [recipe[0], Quantize()])
    assert not torch.equal(weights["conv2.weight"], plain.program.state_dict["conv2.weight"])


def test_a_loop_that_fails_or_diverges_is_said(source: Source) -> None:
    import dataclasses

    def failing(module: torch.nn.Module) -> None:
        raise ValueError("no data")

    def diverging(module: torch.nn.Module) -> None:
        next(module.parameters()).data.fill_(float("nan"))

    for fit, message in ((failing, "`fit` raised ValueError: no data"), (diverging, "`fit` left NaN or infinity in")):
        with pytest.raises(ModelError, match=message):
            seatrial.compress(dataclasses.replace(source(), fit=fit), [Qat()])
