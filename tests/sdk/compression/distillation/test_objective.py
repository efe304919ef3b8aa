"""Students learn from teachers that nothing changes: outputs, features, attention; modules and captured graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import seatrial
from seatrial.compression.distillation.objective import DistillationObjective
from seatrial.compression.distillation.settings import Distil, Distillation, FeaturePair
from seatrial.compression.distillation.taps import Taps
from seatrial.compression.training.batches import Batch
from seatrial.compression.training.loop import fit
from seatrial.compression.training.settings import Training
from seatrial.source import ModelSource
from seatrial_targets.errors import ConfigError, ModelError, UnknownNameError

IMAGES = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(2))


class Net(nn.Module):
    def __init__(self, width: int, stride: int = 1, classes: int = 4) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU())
        self.head = nn.Linear(width, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stem(x).mean((2, 3)))


def net(width: int, seed: int = 0, **extra: Any) -> Net:
    torch.manual_seed(seed)
    return Net(width, **extra)


def frozen_copy(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def batches(labels: bool = False) -> list[Any]:
    parts = IMAGES.split(8)
    return [(part, part.mean((2, 3)).argmax(1)) for part in parts] if labels else list(parts)


def objective(student: nn.Module, teacher: nn.Module, **settings: Any) -> DistillationObjective:
    example = Batch((IMAGES[:4],), {}, None)
    return DistillationObjective(student, teacher, Distillation.model_validate(settings), example)


@pytest.mark.parametrize(
    "settings",
    [
        {"hard_weight": 0.0, "temperature": 2.0},
        {"hard_weight": 0.0, "answers": "values"},
        {"hard_weight": 0.0, "features": [{"student": "stem"}]},
        {"hard_weight": 0.0, "response": False, "features": [{"student": "stem", "loss": "cosine"}]},
        {"hard_weight": 0.0, "response": False, "features": [{"student": "stem", "loss": "attention"}]},
    ],
)
def test_the_student_comes_nearer_and_the_teacher_stays(settings: dict[str, Any]) -> None:
    teacher, student = net(12, seed=5), net(4, stride=2)
    teacher.train()  # as it comes from training: its batch norms must not move all the same
    before = frozen_copy(teacher)
    wanted = objective(student, teacher, **settings)
    report = fit(student, batches(), Training(epochs=4, learning_rate=0.02), objective=wanted)
    assert report.history[-1]["loss"] < 0.8 * report.history[0]["loss"]
    after = teacher.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(each.grad is None for each in teacher.parameters())
    assert teacher.training
    assert not {id(each) for each in wanted.parameters()} & {id(each) for each in teacher.parameters()}


def test_the_loss_is_the_formula() -> None:
    teacher, student = net(12, seed=5), net(4)
    student.eval()
    batch = Batch((IMAGES[:8],), {}, torch.arange(8) % 4)
    parts = {}
    for weight in (0.0, 0.25, 1.0):
        wanted = objective(student, teacher, hard_weight=weight, features=[{"student": "stem", "weight": 3.0}])
        torch.manual_seed(0)
        loss, parts = wanted(student, batch)
        task, response = parts.get("task", torch.tensor(0.0)), parts["response"]
        assert loss.item() == pytest.approx((weight * task + (1 - weight) * response + parts["features"]).item())
    logits = student(IMAGES[:8])
    assert parts["task"].item() == pytest.approx(nn.functional.cross_entropy(logits, batch.target).item())


def test_labels_help_and_are_asked_for_when_they_count() -> None:
    student = net(4)
    wanted = objective(student, net(12, seed=5), hard_weight=0.5)
    assert set(fit(student, batches(labels=True), objective=wanted).history[0]["parts"]) == {"task", "response"}
    with pytest.raises(ModelError, match="only hard_weight: 0 can be"):
        fit(student, batches(), objective=wanted)


def test_projections_are_trained_saved_and_resumed(tmp_path: Path) -> None:
    settings = {"hard_weight": 0.0, "features": [{"student": "stem"}]}

    def parts() -> tuple[Net, DistillationObjective]:
        student = net(4)
        torch.manual_seed(1)
        return student, objective(student, net(12, seed=5), **settings)

    through, whole = parts()
    projection = frozen_copy(whole.projections)
    fit(through, batches(), Training(epochs=2), objective=whole)
    assert not torch.equal(projection["0.channels.weight"], whole.projections[0].channels.weight)

    def interrupt(module: nn.Module, position: Any) -> None:
        if position.step == 5:
            raise KeyboardInterrupt

    checkpoint = tmp_path / "c"
    student, wanted = parts()
    with pytest.raises(KeyboardInterrupt):
        every = Training(epochs=2, checkpoint_every=1)
        fit(student, batches(), every, objective=wanted, checkpoint=checkpoint, after_step=[interrupt])
    student, wanted = parts()
    fit(student, batches(), every, objective=wanted, checkpoint=checkpoint, resume=True)
    assert all(torch.equal(a, b) for a, b in zip(through.parameters(), student.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), wanted.parameters(), strict=True))


def test_unknown_modules_are_named_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="module of the student 'stm'; did you mean 'stem'"):
        objective(net(4), net(12), features=[{"student": "stm", "teacher": "stem"}])
    with pytest.raises(UnknownNameError, match=r"module of the teacher 'stem\.9'"):
        objective(net(4), net(12), features=[{"student": "stem", "teacher": "stem.9"}])
    with pytest.raises(ModelError, match=r"returns 1 tensors; the first is \[0\]"):
        objective(net(4), net(12), features=[{"student": "stem[1]", "teacher": "stem"}])


def test_shapes_that_do_not_fit_are_said_before_training() -> None:
    with pytest.raises(ModelError, match=r"the student answers \[4, 4\], the teacher \[4, 7\]"):
        objective(net(4), net(12, classes=7))
    with pytest.raises(ModelError, match="pair others"):
        objective(net(4), net(12), features=[{"student": "stem", "teacher": "head"}])
    flat = nn.Flatten(0)
    with pytest.raises(ModelError, match="say with `answers` what it is"):
        objective(flat, flat)


def test_a_captured_graph_is_tapped_where_its_modules_ended() -> None:
    module = net(4).eval()
    captured = torch.export.export(module, (IMAGES[:8],)).module()
    batch = Batch((IMAGES[:8],), {}, None)
    names = ["stem.0", "stem", "head"]
    outputs, wanted = Taps(module, names).call(module, batch)
    same, found = Taps(captured, names).call(captured, batch)
    assert torch.allclose(outputs, same, atol=1e-6)
    assert all(torch.allclose(wanted[name], found[name], atol=1e-6) for name in names)
    with pytest.raises(UnknownNameError, match="did you mean 'stem'"):
        Taps(captured, ["stemm"])


def test_quantizers_in_the_student_do_not_stand_in_the_way() -> None:
    """Quantization-aware distillation: the student computes with rounded weights, its gradient passes straight."""
    from torch.ao.quantization import default_weight_fake_quant
    from torch.nn.utils import parametrize

    teacher, student = net(12, seed=5), net(4)
    parametrize.register_parametrization(student.head, "weight", default_weight_fake_quant(), unsafe=True)
    wanted = objective(student, teacher, hard_weight=0.0, features=[{"student": "stem"}])
    report = fit(student, batches(), Training(epochs=4, learning_rate=0.02), objective=wanted)
    assert report.history[-1]["loss"] < report.history[0]["loss"]


def language_model(layers: int, seed: int = 0) -> nn.Module:
    transformers = pytest.importorskip("transformers", reason="needs the extra `huggingface`")
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=13, n_positions=8, n_embd=8, n_layer=layers, n_head=2, attn_implementation="eager", use_cache=False,
    )  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def test_a_language_model_learns_from_another_and_padding_does_not_count() -> None:
    teacher, student = language_model(2, seed=3), language_model(1)
    ids = torch.randint(0, 13, (6, 8), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[:, 6:] = 0
    settings = Distillation(
        hard_weight=0.5,
        features=(
            FeaturePair(student="transformer.ln_f"),
            FeaturePair(student="transformer.h.0.attn[1]", teacher="transformer.h.1.attn[1]", loss="attention"),
        ),
    )
    batch = Batch((), {"input_ids": ids, "attention_mask": mask}, None)
    wanted = DistillationObjective(student, teacher, settings, batch)
    assert wanted.answers == "tokens"
    before = frozen_copy(teacher)
    loss, parts = wanted.eval()(student.eval(), batch)
    assert set(parts) == {"task", "response", "features"}
    other = Batch((), {"input_ids": ids.masked_fill(mask == 0, 7), "attention_mask": mask}, None)
    again, _ = wanted(student, other)
    assert again.item() == pytest.approx(loss.item(), rel=1e-4)
    by_position = DistillationObjective(student, teacher, settings, batch, input_names=("input_ids", "attention_mask"))
    assert by_position._mask(Batch((ids, mask), {}, None)) is mask
    report = fit(student, [dict(batch.kwargs)] * 4, Training(epochs=5, learning_rate=0.01), objective=wanted)
    assert report.history[-1]["loss"] < report.history[0]["loss"]
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def data_source(module: nn.Module) -> ModelSource:
    return ModelSource(module, (IMAGES[:1],), train=batches(labels=True), name="net", checks=list(IMAGES.split(1)))


@pytest.mark.parametrize("teacher", ["original", "self", "file"])
def test_the_step_of_a_recipe(tmp_path: Path, teacher: str) -> None:
    if teacher == "file":
        teacher = f"{tmp_path / 'big.py'}:build"
        code = "import torch\nclass Big(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        code += (
            "        self.head = torch.nn.Linear(3, 4)\n    def forward(self, x): return self.head(x.mean((2, 3)))\n"
        )
        (tmp_path / "big.py").write_text(code + "def build(): return Big(), torch.ones(1, 3, 8, 8)\n")
    source = data_source(net(4))
    before = frozen_copy(source.module)
    made = seatrial.compress(source, [Distil(teacher=teacher, epochs=2, learning_rate=0.01)])
    (step,) = made.record.steps
    assert step.kind == "distil"
    assert step.details["steps"] == 16
    assert f"teacher: {teacher}; outputs are taken as classes" in step.notes
    assert all(torch.equal(before[name], value) for name, value in source.module.state_dict().items())
    assert not torch.equal(before["head.weight"], made.source.module.head.weight)


def test_a_recipe_that_is_cut_short_in_training_goes_on_within_the_step(tmp_path: Path) -> None:
    from seatrial.compression.training.settings import Finetune

    recipe = [Finetune(epochs=1), Distil(epochs=2, checkpoint_every=1)]
    through = seatrial.compress(data_source(net(4)), recipe)
    count = 0

    class Stopping(list[Any]):
        def __iter__(self) -> Any:
            nonlocal count
            for each in list.__iter__(self):
                count += 1
                if count == 20:
                    raise KeyboardInterrupt
                yield each

    import dataclasses

    stopping = dataclasses.replace(data_source(net(4)), train=Stopping(batches(labels=True)))
    with pytest.raises(KeyboardInterrupt):
        seatrial.compress(stopping, recipe, tmp_path / "small.pt2")
    made = seatrial.compress(data_source(net(4)), recipe, tmp_path / "small.pt2", resume=True)
    assert made.record.steps[1].details["resumed_at_step"] > 0
    pairs = zip(through.source.module.parameters(), made.source.module.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_recipe_that_distils_nothing_is_refused() -> None:
    from seatrial.compression.recipe import Recipe

    with pytest.raises(ConfigError, match="nothing is distilled"):
        Recipe.loads("steps:\n  - distil: {response: false}\n")
    with pytest.raises(ConfigError, match="did you mean 'temperature'"):
        Recipe.loads("steps:\n  - distil: {temprature: 3}\n")
