"""What float16 costs a model, operation by operation, and which few are to stay in float32.

coremltools' float16 pass rounds what an operation takes, its weights too, and what it yields. The evaluator does the
same to any choice of operations of a package in float32, so that a choice is tried without another conversion. It is
made by blocks: a layer with weights, or a product, and what follows it up to the next one.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from seatrial_targets.errors import ExportError

from ...verify.coreml.program import Function, Operation
from ..parity import measure_parity
from .artifact import PackageArtifact
from .features import Arrays
from .reference import AppReference

if TYPE_CHECKING:
    from .. import Progress

LIMIT = 5e-3  # relative L2 of an output that a float16 package should keep to
LIMIT_DB = -20 * math.log10(LIMIT)
HEAVY = ("conv", "conv_transpose", "linear", "matmul", "einsum", "lstm", "gru", "rnn", "scaled_dot_product_attention")
# FP16ComputePrecision leaves them alone.
_LEFT = ("const", "cast", "while_loop", "cond", "make_list", "read_state", "coreml_update_state", "write_state")
_LOST_DB = -300.0


class Rounding:
    """Tries which operations of a package in float32 may be rounded to float16, on ``samples`` of torch's inputs."""

    def __init__(self, artifact: PackageArtifact, reference: AppReference, samples: Sequence[Arrays]) -> None:
        self._artifact, self._samples = artifact, list(samples)
        self._answers = {id(sample): reference.run(sample) for sample in self._samples}
        self.blocks = blocks(artifact.session.package.function)

    def spared(self, on_progress: Progress) -> tuple[str, ...]:
        """Return the names of the fewest operations, block by block, that keep all outputs within ``LIMIT`` of torch
        when they stay in float32 and all others are rounded; empty when none need to.

        Blocks are taken by what each one costs alone, on the sample that is farthest off; how many, is found on that
        sample, where the noise has to fall by as much as it has to on all, and then held against all. Raises
        ExportError when float32 is not enough, either.
        """
        found = self._run(self.blocks, self._samples)
        if (now := self._db(found, self._samples)) >= LIMIT_DB:
            return ()
        worst = min(self._samples, key=lambda sample: self._db(found, [sample]))
        order = self._by_cost(worst, on_progress)
        on_progress("choose what stays in float32")
        wanted = min(self._db(found, [worst]) + LIMIT_DB - now, LIMIT_DB)
        count = bisect.bisect_left(range(len(order)), True, key=lambda k: self._at(order[k:], [worst]) >= wanted)
        while count < len(order) and self._at(order[count:], self._samples) < LIMIT_DB:
            count += max(1, count // 8)
        chosen = {name for block in order[:count] for name in block}
        return tuple(name for block in self.blocks for name in block if name in chosen)

    def _by_cost(self, worst: Arrays, on_progress: Progress) -> list[tuple[str, ...]]:
        if (best := self._at((), [worst])) < LIMIT_DB:
            raise ExportError(
                f"float16 is not what takes this package away from torch: in float32 it is {best:.1f} dB near, "
                f"and {LIMIT_DB:.0f} are wanted; leave keep_float32 out, or export it as fp32"
            )
        costs = {}
        for i, block in enumerate(self.blocks):
            on_progress(f"find what float16 costs {i * 100 // len(self.blocks) // 10 * 10} %")
            costs[block] = self._at([block], [worst])
        return sorted(self.blocks, key=costs.__getitem__)

    def _at(self, rounded: Collection[tuple[str, ...]], samples: Sequence[Arrays]) -> float:
        return self._db(self._run(rounded, samples), samples)

    def _run(self, rounded: Collection[tuple[str, ...]], samples: Sequence[Arrays]) -> dict[int, Arrays]:
        """The outputs of each sample (by its id) when these blocks are rounded; none where one is spoilt."""
        names = {name for block in rounded for name in block}
        evaluator = self._artifact.session.evaluator
        evaluator.in_float16 = lambda operation: _name(operation) in names
        try:
            return {id(sample): self._artifact.run(sample) for sample in samples}
        except ExportError:  # a value overflows
            return {}
        finally:
            evaluator.in_float16 = None

    def _db(self, found: Mapping[int, Arrays], samples: Sequence[Arrays]) -> float:
        """The SQNR of the worst output."""
        if not found:
            return _LOST_DB
        figures = measure_parity(lambda sample: self._answers[id(sample)], lambda sample: found[id(sample)], samples)
        return figures.get("sqnr_db", math.inf)


def blocks(function: Function) -> list[tuple[str, ...]]:
    """Return the names of a program's operations in float32, in their order: each block begins with a heavy one."""
    found: list[list[str]] = [[]]
    for operation in function.block.walk():
        if _is_rounded(operation):
            if operation.type in HEAVY and found[-1]:
                found.append([])
            found[-1].append(_name(operation))
    return [tuple(block) for block in found if block]


def _name(operation: Operation) -> str:
    """What an operation is called in reports: after what it yields, as coremltools names after the nodes of torch."""
    return operation.outputs[0].name if operation.outputs else operation.name


def _is_rounded(operation: Operation) -> bool:
    if operation.type in _LEFT or operation.type.startswith(("constexpr_", "list_")):
        return False
    return any(output.type.dtype == "fp32" for output in operation.outputs)
