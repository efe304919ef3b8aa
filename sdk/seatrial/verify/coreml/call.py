"""One operation about to be executed: its arguments by name, as what an implementation asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from seatrial_targets.errors import EvaluationError, UnsupportedOpError

from .program import Operation

Values = tuple[Any, ...]
Result = Any  # a tensor, or what the operation yields instead; a tuple of them for several outputs
Implementation = Callable[["Call"], Result]


class Call:
    """The arguments of one operation. Floating-point tensors arrive as float32, whatever they are stored as."""

    def __init__(self, operation: Operation, values: dict[str, Values], ios: int) -> None:
        self.operation, self.ios = operation, ios
        self._values = values

    def has(self, name: str) -> bool:
        """Return whether the parameter was given."""
        return bool(self._values.get(name))

    def value(self, name: str) -> Any:
        """Return the parameter as it is stored. Raises EvaluationError when the operation lacks it."""
        if not self.has(name):
            raise self.error(f"lacks its parameter {name!r}")
        return self._values[name][0]

    def values(self, name: str) -> Values:
        """Return all values that are bound to a parameter which takes several, as they are stored."""
        return self._values.get(name, ())

    def tensor(self, name: str) -> torch.Tensor:
        """Return a tensor, floats as float32. Raises EvaluationError when it is absent or no tensor."""
        return self._tensor(name, self.value(name))

    def maybe(self, name: str) -> torch.Tensor | None:
        """Return a tensor, or None when it was not given."""
        return self.tensor(name) if self.has(name) else None

    def tensors(self, name: str) -> list[torch.Tensor]:
        """Return all tensors that are bound to a parameter which takes several."""
        return [self._tensor(name, each) for each in self.values(name)]

    def integers(self, name: str, default: list[int] | None = None) -> list[int]:
        """Return a vector of integers; ``default`` when it was not given."""
        if not self.has(name) and default is not None:
            return default
        found: list[int] = [int(each) for each in self.tensor(name).reshape(-1).tolist()]
        return found

    def integer(self, name: str, default: int | None = None) -> int:
        """Return an integer; ``default`` when it was not given."""
        return self.integers(name, None if default is None else [default])[0]

    def number(self, name: str, default: float | None = None) -> float:
        """Return a number; ``default`` when it was not given."""
        if not self.has(name) and default is not None:
            return default
        return float(self.tensor(name).reshape(-1)[0])

    def flag(self, name: str, default: bool | None = None) -> bool:
        """Return a truth value; ``default`` when it was not given."""
        return bool(self.integer(name, None if default is None else int(default)))

    def flags(self, name: str, count: int) -> list[bool]:
        """Return ``count`` truth values, all False when they were not given."""
        return [bool(each) for each in self.integers(name, [0] * count)]

    def text(self, name: str, default: str | None = None) -> str:
        """Return a text; ``default`` when it was not given."""
        if not self.has(name) and default is not None:
            return default
        return str(self.value(name))

    def axis(self, name: str, rank: int, default: int | None = None) -> int:
        """Return an axis from 0 on of a tensor with ``rank`` dimensions; negative ones count from the last."""
        return self.positive(self.integer(name, default), rank)

    def axes(self, name: str, rank: int) -> list[int]:
        """Return axes from 0 on, all when they were not given."""
        return [self.positive(each, rank) for each in self.integers(name, list(range(rank)))]

    def positive(self, axis: int, rank: int) -> int:
        """Return an axis from 0 on. Raises EvaluationError when there is no such axis."""
        if not -rank <= axis < max(rank, 1):
            raise self.error(f"has axis {axis} for {rank} dimensions")
        return axis % rank if rank else 0

    def error(self, problem: str) -> EvaluationError:
        """Return an error that names this operation."""
        return EvaluationError(f"operation {self.operation.type} {self.operation.name!r} {problem}")

    def unsupported(self, form: str) -> UnsupportedOpError:
        """Return an error that names a form of this operation which can't be executed here."""
        return UnsupportedOpError(
            f"operation {self.operation.type} {self.operation.name!r} can't be executed here: {form}"
        )

    def _tensor(self, name: str, value: Any) -> torch.Tensor:
        if not isinstance(value, torch.Tensor):
            raise self.error(f"has a {type(value).__name__} for {name!r} where a tensor belongs")
        return value.float() if value.dtype == torch.float16 else value


def require_indices(call: Call, indices: torch.Tensor, size: int, negative: bool) -> torch.Tensor:
    """Return ``indices`` into ``size`` elements as int64 from 0 on.

    Up to iOS 16 negative ones count from the end; from iOS 17 on, and beyond the size, Core ML leaves the result
    undefined, which is an EvaluationError here.
    """
    wide = indices.long()
    if wide.numel() == 0:
        return wide
    low, high = int(wide.min()), int(wide.max())
    if high >= size or low < (-size if negative else 0):
        where = low if low < 0 else high
        raise call.error(f"reads index {where} of {size}; Core ML leaves the result of that undefined")
    return torch.where(wide < 0, wide + size, wide) if low < 0 else wide
