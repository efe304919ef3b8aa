"""Batches from the user's iterables and DataLoaders: told apart into inputs and target, moved, and replayable."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from seatrial_targets.errors import ModelError

from ...factory import own_trace

Data = Iterable[Any] | Callable[[], Iterable[Any]]


@dataclass(frozen=True)
class Batch:
    """Inputs by position or by name, and the target: a tensor, a mapping, or None where there are no labels."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    target: Any

    def call(self, module: nn.Module) -> Any:
        """Return what ``module`` makes of the inputs."""
        return module(*self.args, **self.kwargs)

    def named(self, names: Sequence[str]) -> dict[str, Any]:
        """Return the inputs by name; ``names`` are those of forward's arguments, for what was given by position."""
        return {**dict(zip(names, self.args, strict=False)), **self.kwargs}

    def to(self, device: torch.device) -> Batch:
        """Return the batch with every tensor on ``device``."""
        moved = tree_map(lambda each: each.to(device) if isinstance(each, torch.Tensor) else each, self._parts())
        return Batch(tuple(moved[0]), moved[1], moved[2])

    @property
    def size(self) -> int:
        """Length of the first axis of the first input; 0 when nothing is a tensor with axes."""
        tensors = [each for each in tree_leaves((self.args, dict(self.kwargs))) if isinstance(each, torch.Tensor)]
        return int(tensors[0].shape[0]) if tensors and tensors[0].ndim else 0

    def _parts(self) -> tuple[list[Any], dict[str, Any], Any]:
        return list(self.args), dict(self.kwargs), self.target


def as_batch(raw: Any, names: Sequence[str], where: str) -> Batch:
    """Tell inputs from target. ``names``: of forward's arguments.

    A pair is (inputs, target); a mapping holds inputs under their names and the target under what name is left; else
    all of it is inputs, without a target. Raises ModelError for a tuple of another length.
    """
    if isinstance(raw, Batch):
        return raw
    if isinstance(raw, Mapping):
        return _from_mapping(raw, names, where)
    if isinstance(raw, tuple | list):
        if len(raw) != 2:
            raise ModelError(f"{where}: has {len(raw)} parts; give the pair (inputs, target), or a mapping by name")
        return _with_inputs(raw[0], raw[1])
    return _with_inputs(raw, None)


def _with_inputs(inputs: Any, target: Any) -> Batch:
    target = _tensor(target)
    if isinstance(inputs, Mapping):
        return Batch((), {str(name): _tensor(value) for name, value in inputs.items()}, target)
    values = inputs if isinstance(inputs, tuple | list) else (inputs,)
    return Batch(tuple(map(_tensor, values)), {}, target)


def _from_mapping(raw: Mapping[str, Any], names: Sequence[str], where: str) -> Batch:
    inputs = {name: _tensor(value) for name, value in raw.items() if name in names}
    rest = {name: _tensor(value) for name, value in raw.items() if name not in names}
    if not inputs:
        raise ModelError(f"{where}: has {', '.join(map(str, raw))}, and none of forward's inputs: {', '.join(names)}")
    return Batch((), inputs, next(iter(rest.values())) if len(rest) == 1 else rest or None)


def _tensor(value: Any) -> Any:
    """Numpy arrays become tensors; anything else is left as it is."""
    return torch.as_tensor(value) if type(value).__module__ == "numpy" else value


class Batches:
    """The user's training data, one epoch at a time, each from a random state of its own."""

    def __init__(self, data: Data, names: Sequence[str]) -> None:
        """``names``: of forward's arguments, to tell inputs from targets in a mapping."""
        self._data, self._names = data, names

    def __len__(self) -> int:
        """The batches of an epoch; 0 when the data does not say."""
        try:
            return len(self._data)  # type: ignore[arg-type]
        except TypeError:
            return 0

    def epoch(
        self, number: int, seed: int, skip: int = 0, skipped: Callable[[], None] | None = None
    ) -> Iterator[Batch]:
        """Yield the batches of epoch ``number`` after the first ``skip``; ``skipped`` is called between the two.

        Raises ModelError, with the user's line, when the data fails or there is none."""
        count = 0
        try:
            for raw in self._iterable(number, seed):
                count += 1
                if count > skip:
                    yield as_batch(raw, self._names, f"train[{count - 1}]")
                if count == skip and skipped is not None:
                    skipped()
        except (ModelError, GeneratorExit):
            raise
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            raise ModelError(f"train[{count}]: the data raised {text}\n{own_trace(error)}") from error
        if count == 0:
            again = (
                "" if number == 0 else " in its second epoch: give a list, or a function that returns new generators"
            )
            raise ModelError(f"the training data is empty{again}; give at least one batch")

    def _iterable(self, number: int, seed: int) -> Iterable[Any]:
        made = self._data() if callable(self._data) else self._data
        if not isinstance(made, Iterable):
            raise ModelError(f"the training data is a {type(made).__name__}; give an iterable of batches")
        for generator in _own_generators(made):
            generator.manual_seed(seed)
        set_epoch = getattr(getattr(made, "sampler", None), "set_epoch", None)
        if set_epoch is not None:
            set_epoch(number)
        return made


def _own_generators(loader: Any) -> list[torch.Generator]:
    """The generators that a DataLoader and its samplers shuffle with, when they are not torch's global one."""
    parts = (loader, getattr(loader, "sampler", None), getattr(getattr(loader, "batch_sampler", None), "sampler", None))
    found = [getattr(part, "generator", None) for part in parts]
    return [each for each in {id(each): each for each in found}.values() if isinstance(each, torch.Generator)]
