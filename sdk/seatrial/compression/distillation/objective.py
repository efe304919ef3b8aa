"""The objective of distillation: the task, the teacher's answers, and its features, weighed against each other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from seatrial_targets.errors import ModelError

from ...source import Loss, evaluating, forward_names
from ..training.batches import Batch
from ..training.objective import Objective, cross_entropy, first_tensor
from .losses import attention_loss, cosine_loss, response_loss, token_cross_entropy, value_loss
from .projection import Projection
from .settings import Answers, Distillation
from .taps import Taps


class Teacher:
    """A frozen model: in eval mode, without gradients, whatever is done with the student.

    It is no child of anything that is trained, so that no optimiser, checkpoint or mode reaches it.
    """

    def __init__(self, module: nn.Module, names: Sequence[str] = ()) -> None:
        self.module = module
        self._taps = Taps(module, names, "the teacher")

    def call(self, batch: Batch) -> tuple[Any, dict[str, torch.Tensor]]:
        """Return the teacher's outputs and features for a batch."""
        with torch.no_grad(), evaluating(self.module):
            return self._taps.call(self.module, batch)

    def __deepcopy__(self, memo: Any) -> Teacher:
        return self  # nothing changes it, so copies of an objective can share it

    def digest(self) -> str:
        """Return the sha256 (hex) of the weights."""
        made = hashlib.sha256()
        for name, value in sorted(self.module.state_dict().items()):
            made.update(name.encode())
            made.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        return made.hexdigest()


class DistillationObjective(Objective):
    """What a student of ``teacher`` minimises; see `Distillation` for the formula.

    ``example``: a batch that both models are called with once, to find the shapes of their features and make the
    projections between them; those are trained and saved with the student, and left out of the result. ``task``: the
    user's loss on labels. Raises ModelError (shapes that can't be brought together), UnknownNameError (a module).
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        settings: Distillation,
        example: Batch,
        task: Loss | None = None,
        input_names: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self._settings = settings
        self._teacher = Teacher(teacher, [pair.teacher_name for pair in settings.features])
        self._taps = Taps(student, [pair.student for pair in settings.features], "the student")
        self._inputs = tuple(input_names) or forward_names(student)
        outputs, features, told, wanted = self._tried(student, example)
        self.answers = answers_of(settings.answers, first_tensor(outputs))
        self._task = task or (None if self.answers == "tokens" else cross_entropy)
        pairs = [(pair, features[pair.student], wanted[pair.teacher_name]) for pair in settings.features]
        self.projections = nn.ModuleList([Projection.between(*pair) for pair in pairs])
        if settings.response:
            self._response(outputs, told, example)  # shapes that differ are said now
        self.identity = f"{settings.model_dump_json()} {self.answers} {self._teacher.digest()}"

    def forward(self, module: nn.Module, batch: Batch) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """Return the loss and its parts (task, response, features), each before its weight."""
        told, wanted = self._teacher.call(batch)
        outputs, features = self._taps.call(module, batch)
        settings, parts = self._settings, {}
        loss = first_tensor(outputs).new_zeros(())
        if settings.hard_weight > 0:
            parts["task"] = self._hard(outputs, batch)
            loss = loss + settings.hard_weight * parts["task"]
        if settings.response:
            parts["response"] = self._response(outputs, told, batch)
            loss = loss + (1.0 - settings.hard_weight) * parts["response"]
        if settings.features:
            parts["features"] = self._features(features, wanted, batch)
            loss = loss + parts["features"]
        return loss, {name: part.detach() for name, part in parts.items()}

    def _tried(self, student: nn.Module, example: Batch) -> tuple[Any, dict[str, Any], Any, dict[str, Any]]:
        told, wanted = self._teacher.call(example)
        with torch.no_grad(), evaluating(student):
            outputs, features = self._taps.call(student, example)
        return outputs, features, told, wanted

    def _hard(self, outputs: Any, batch: Batch) -> torch.Tensor:
        target = batch.target
        if self.answers == "tokens" and self._task is None:
            labels = self._input(batch, "input_ids") if target is None else target
            return token_cross_entropy(first_tensor(outputs), labels, self._mask(batch))
        if target is None:
            raise ModelError(
                "the training data has no targets, so only hard_weight: 0 can be; or give pairs with labels"
            )
        task = self._task or cross_entropy
        return task(outputs, target)

    def _response(self, outputs: Any, told: Any, batch: Batch) -> torch.Tensor:
        if self.answers == "values":
            pairs = zip(_floats(outputs), _floats(told), strict=True)
            return torch.stack([value_loss(student, teacher) for student, teacher in pairs]).mean()
        student, teacher, temperature = first_tensor(outputs), first_tensor(told), self._settings.temperature
        if self.answers == "tokens":
            return response_loss(student, teacher, temperature, class_axis=-1, mask=self._mask(batch))
        return response_loss(student, teacher, temperature)

    def _features(
        self, found: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], batch: Batch
    ) -> torch.Tensor:
        total, mask = next(iter(found.values())).new_zeros(()), self._mask(batch)
        for pair, projection in zip(self._settings.features, self.projections, strict=True):
            student, teacher = projection(found[pair.student], wanted[pair.teacher_name])
            if mask is not None and student.ndim == 3 and student.shape[:2] == mask.shape:
                student, teacher = student[mask != 0], teacher[mask != 0]  # padding teaches nothing
            total = total + pair.weight * LOSSES[pair.loss](student, teacher)
        return total

    def _input(self, batch: Batch, name: str) -> torch.Tensor:
        value = batch.named(self._inputs).get(name)
        if not isinstance(value, torch.Tensor):
            raise ModelError(f"the batch has no target and no {name!r} to learn the next token from")
        return value

    def _mask(self, batch: Batch) -> torch.Tensor | None:
        """The attention mask (N, T), 0 for padding; None when the model takes none."""
        mask = batch.named(self._inputs).get("attention_mask")
        return mask if isinstance(mask, torch.Tensor) and mask.ndim == 2 else None

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        """Let the teacher follow to another device; it is no child, so torch does not."""
        self._teacher.module._apply(fn)
        return super()._apply(fn, recurse)


LOSSES: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mse": value_loss,
    "cosine": lambda student, teacher: cosine_loss(student, teacher, 1 if student.ndim == 4 else -1),
    "attention": attention_loss,
}


def answers_of(wanted: Answers, outputs: torch.Tensor) -> Answers:
    """Return what the outputs are, by their axes where it was not said. Raises ModelError when that does not tell."""
    if wanted != "auto":
        return wanted
    found: Mapping[int, Answers] = {2: "classes", 3: "tokens", 4: "dense"}
    if outputs.ndim not in found or not outputs.is_floating_point():
        raise ModelError(f"the model answers {list(outputs.shape)}; say with `answers` what it is: values, or classes")
    return found[outputs.ndim]


def _floats(outputs: Any) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves(dict(outputs) if isinstance(outputs, Mapping) else outputs)
    return [each for each in leaves if isinstance(each, torch.Tensor) and each.is_floating_point()]
