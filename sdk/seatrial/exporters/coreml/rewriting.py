"""Operators that coremltools can't convert, written with those that it can: torch knows how, for most of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..noise import quiet

if TYPE_CHECKING:
    import torch

Rewrite = Callable[..., Any]

# A decomposition may use operators that need one as well.
MOST_ROUNDS = 4
IMAGE_RANK = 4
# Whole recurrent layers: torch would write each step out. A trace keeps them as one operation or one loop.
KEPT = ("aten.lstm.", "aten.gru.", "aten.rnn_tanh.", "aten.rnn_relu.")


@dataclass(frozen=True)
class Rewritten:
    """A program in operators that coremltools knows, as far as torch can write it so: ``original`` is what it was,
    ``changed`` names the operators that are gone."""

    program: torch.export.ExportedProgram
    original: torch.export.ExportedProgram
    changed: tuple[str, ...]


def rewritten(original: torch.export.ExportedProgram) -> Rewritten:
    """Return a captured program as coremltools takes it: functional, and without the operators that it lacks."""
    done: dict[str, None] = {}
    with quiet():
        program = original.run_decompositions({})
        for _ in range(MOST_ROUNDS):
            table = _table(program)
            if not table:
                break
            done |= dict.fromkeys(str(each).removeprefix("aten.").removesuffix(".default") for each in table)
            program = program.run_decompositions(table)
    return Rewritten(program, original, tuple(done))


def _table(program: torch.export.ExportedProgram) -> dict[Any, Rewrite]:
    import torch

    known, found = _Rewrites(), dict[Any, Rewrite]()
    sometimes = {torch.ops.aten.prelu.default: _prelu, torch.ops.aten.hardtanh.default: _hardtanh}
    for node in program.graph.nodes:
        if node.op != "call_function" or str(node.target).startswith(KEPT):
            continue
        if node.target in sometimes:
            found |= {node.target: sometimes[node.target]} if _is_refused(node) else {}
        elif not _is_converted(node.target) and (rewrite := known.get(node.target)):
            found[node.target] = rewrite
    return found


def _is_refused(node: Any) -> bool:
    """Whether coremltools, which knows the operator, can't take it of this value."""
    import torch

    value = node.args[0].meta["val"]
    is_prelu = node.target == torch.ops.aten.prelu.default
    return bool(value.dim() != IMAGE_RANK if is_prelu else value.dtype == torch.float16)


def _is_converted(target: Any) -> bool:
    """Return whether coremltools has a conversion for an operator."""
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY
    from coremltools.converters.mil.frontend.torch.utils import sanitize_op_kind

    name = target.name() if hasattr(target, "name") else getattr(target, "__name__", str(target))
    # Asked as its reader of exported programs does, which is stricter than its get_func.
    return sanitize_op_kind(name) in _TORCH_OPS_REGISTRY.name_to_func_mapping


class _Rewrites:
    """How to write an operator with others: ours first, then torch.export's tables, then those of torch's compiler."""

    def __init__(self) -> None:
        import torch
        from torch._decomp import decomposition_table

        self._tables: list[Any] = [_own(), torch.export.default_decompositions(), decomposition_table]

    def get(self, target: Any) -> Rewrite | None:
        """Return the rewrite, or None when nobody knows one."""
        for table in self._tables:
            if target in table:
                rewrite: Rewrite = table[target]
                return rewrite
        return None


def _own() -> dict[Any, Rewrite]:
    """Where torch's tables end in operators that coremltools has not, either."""
    import torch

    aten = torch.ops.aten
    return {
        # Python's own operators on tensors, under which torch.export may record them.
        aten.__and__.Tensor: torch.bitwise_and,
        aten.__or__.Tensor: torch.bitwise_or,
        aten.__xor__.Tensor: torch.bitwise_xor,
        aten.bitwise_or.Tensor: _of_truth(torch.logical_or),
        aten.bitwise_xor.Tensor: _of_truth(torch.logical_xor),
        aten.trunc.default: _trunc,
        aten.fmod.Tensor: _fmod,
        aten.fmod.Scalar: _fmod,
        aten.erfc.default: lambda x: 1 - torch.erf(x),
        aten.hypot.default: lambda x, y: torch.sqrt(x * x + y * y),
        aten.var_mean.correction: _var_mean,
    }


def _of_truth(function: Rewrite) -> Rewrite:
    """Bitwise operators are logical ones on truth values; on integers Core ML has none."""
    import torch

    def rewrite(x: Any, y: Any) -> Any:
        return function(x, y) if x.dtype == torch.bool and y.dtype == torch.bool else NotImplemented

    return rewrite


def _trunc(x: torch.Tensor) -> Any:
    import torch

    return torch.sign(x) * torch.floor(torch.abs(x))


def _fmod(x: torch.Tensor, y: Any) -> Any:
    return x - _trunc(x / y) * y


def _var_mean(x: torch.Tensor, dim: Any = None, *, correction: Any = None, keepdim: bool = False) -> Any:
    import math

    import torch

    axes = list(range(x.dim())) if dim is None else list(dim)
    mean = torch.mean(x, axes, keepdim=True)
    count = math.prod(x.shape[axis] for axis in axes)
    total = torch.sum((x - mean) * (x - mean), axes, keepdim=keepdim)
    return total / (count - (1 if correction is None else correction)), torch.mean(x, axes, keepdim=keepdim)


def _prelu(x: torch.Tensor, weight: torch.Tensor) -> Any:
    """coremltools has a PReLU for images alone; with other ranks it refuses different slopes."""
    import torch

    if x.dim() == IMAGE_RANK:
        return NotImplemented
    slopes = weight.reshape([1, -1] + [1] * (x.dim() - 2)) if x.dim() > 1 else weight
    return torch.where(x > 0, x, slopes * x)


def _hardtanh(x: torch.Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    """coremltools gives the limits in float32, which its own checks refuse beside float16; those of a clamp fit."""
    import torch

    return torch.clamp(x, min_val, max_val) if x.dtype == torch.float16 else NotImplemented
