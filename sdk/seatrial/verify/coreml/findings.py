"""What an evaluation tells beside its outputs: which operation overflows float16, by how much, and where NaN begins."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from .program import Operation, Output

LARGEST = 65504.0  # of float16


@dataclass(frozen=True)
class Overflow:
    """A value that is finite when it is computed and infinite when it is stored: the operation and the value's size."""

    operation: str
    name: str
    largest: float

    def __str__(self) -> str:
        times = self.largest / LARGEST
        return (
            f"operation {self.operation} {self.name!r} reaches {self.largest:.3g}, {times:.3g} times what float16 holds"
        )


@dataclass
class Findings:
    """An observer (give `observe` to an evaluation) that keeps the first trouble of each kind and the largest value."""

    overflows: list[Overflow] = field(default_factory=list)
    invalid: str = ""  # the first operation that makes NaN of finite numbers
    largest: float = 0.0
    _seen: set[str] = field(default_factory=set)

    def observe(self, operation: Operation, output: Output, exact: torch.Tensor, stored: torch.Tensor) -> None:
        """Take note of one value."""
        if not stored.is_floating_point() or not stored.numel():
            return
        finite = exact.isfinite()
        size = float(torch.where(finite, exact.abs(), exact.new_zeros(())).max())
        self.largest = max(self.largest, size)
        if output.type.dtype == "fp16" and size > LARGEST and bool((stored.isinf() & finite).any()):
            self._overflow(operation, output, size)
        if not self.invalid and bool(stored.isnan().any()):
            self.invalid = f"operation {operation.type} {operation.name!r}"

    def _overflow(self, operation: Operation, output: Output, size: float) -> None:
        if output.name not in self._seen:  # a loop may pass here often
            self._seen.add(output.name)
            self.overflows.append(Overflow(operation.type, output.name, size))
