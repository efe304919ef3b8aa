"""Lists of tensors, and what a classifier yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..call import Call, Implementation
from ..types import TORCH


@dataclass(frozen=True)
class TensorList:
    """A list of tensors of one shape; None where nothing was written yet. Operations return new ones."""

    items: tuple[torch.Tensor | None, ...]
    dtype: torch.dtype

    def written(self, index: int, value: torch.Tensor) -> TensorList:
        """Return a list with ``value`` at ``index``, longer when that is beyond its end."""
        items = [*self.items, *[None] * (index + 1 - len(self.items))]
        items[index] = value.to(self.dtype)
        return TensorList(tuple(items), self.dtype)


def _make(call: Call) -> TensorList:
    length = call.integer("init_length", 1)
    shape = [int(each) if isinstance(each, torch.Tensor) else None for each in call.values("elem_shape")]
    dtype = TORCH[call.text("dtype", "fp32")]
    known = [n for n in shape if n is not None]
    # An element that was never written reads as zeros, where its shape is known.
    empty = torch.zeros(known, dtype=dtype) if len(known) == len(shape) else None
    return TensorList((empty,) * length, dtype)


def _list(call: Call) -> TensorList:
    value = call.value("ls")
    if not isinstance(value, TensorList):
        raise call.error("has no list for 'ls'")
    return value


def _length(call: Call) -> torch.Tensor:
    return torch.tensor(len(_list(call).items), dtype=torch.int32)


def _item(call: Call, items: TensorList, index: int) -> torch.Tensor:
    if not -len(items.items) <= index < len(items.items):
        raise call.error(f"reads item {index} of a list of {len(items.items)}")
    found = items.items[index]
    if found is None:
        # Its shape is that of those which were written.
        like = next((each for each in items.items if each is not None), None)
        if like is None:
            raise call.error(f"reads item {index} of a list, of which nothing was ever written")
        return torch.zeros_like(like)
    return found


def _read(call: Call) -> torch.Tensor:
    return _item(call, _list(call), call.integer("index"))


def _write(call: Call) -> TensorList:
    return _list(call).written(call.integer("index"), call.tensor("value"))


def _gather(call: Call) -> torch.Tensor:
    items = _list(call)
    return torch.stack([_item(call, items, index) for index in call.integers("indices")])


def _scatter(call: Call) -> TensorList:
    items = _list(call)
    for index, value in zip(call.integers("indices"), call.tensor("value"), strict=True):
        items = items.written(index, value)
    return items


def _classify(call: Call) -> tuple[str | int, dict[Any, float]]:
    """Return the label of the largest probability, and the probability of each label, in the file's order."""
    scores = call.tensor("probabilities").reshape(-1)
    classes = call.value("classes")
    labels = classes if isinstance(classes, list) else classes.tolist()
    plain = [each if isinstance(each, str) else int(each) for each in labels]
    if len(plain) != len(scores):
        raise call.error(f"has {len(plain)} labels for {len(scores)} probabilities")
    return plain[int(scores.argmax())], dict(zip(plain, scores.tolist(), strict=True))


OPS: dict[str, Implementation] = {
    "make_list": _make,
    "list_length": _length,
    "list_read": _read,
    "list_write": _write,
    "list_gather": _gather,
    "list_scatter": _scatter,
    "classify": _classify,
}
