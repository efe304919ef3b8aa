"""What is known to keep an operation off the Neural Engine: rules from public sources, each named with its own.

Apple publishes no such list, and Core ML decides on the device, by the whole program. So this is an estimate, in one
direction: what a rule names has left the engine where its source looked; what no rule names may leave it as well.
Where sources contradict each other (dilated convolutions, for one) there is no rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .program import Operation

HIGHEST_RANK = 5
# Core ML exchanges float32 at the ends and casts there itself.
_EDGES = ("cast", "classify")


@dataclass(frozen=True)
class Rule:
    """``applies`` says of an operation, the chip of the target ('Apple A14 Bionic', or empty) and the ranks of its
    inputs whether it leaves the engine. ``source``: where that was written or measured."""

    name: str
    what: str
    source: str
    applies: Callable[[Operation, str, tuple[int, ...]], bool]


def _declares(*dtypes: str) -> Callable[[Operation, str, tuple[int, ...]], bool]:
    def applies(operation: Operation, _soc: str, _ranks: tuple[int, ...]) -> bool:
        return operation.type not in _EDGES and any(each.type.dtype in dtypes for each in operation.outputs)

    return applies


def _is(*types: str) -> Callable[[Operation, str, tuple[int, ...]], bool]:
    return lambda operation, _soc, _ranks: operation.type in types


def _begins(*beginnings: str) -> Callable[[Operation, str, tuple[int, ...]], bool]:
    return lambda operation, _soc, _ranks: operation.type.startswith(beginnings)


def _deep(operation: Operation, _soc: str, ranks: tuple[int, ...]) -> bool:
    return max((*ranks, *(len(each.type.shape) for each in operation.outputs)), default=0) > HIGHEST_RANK


def _three_dimensional(operation: Operation, _soc: str, ranks: tuple[int, ...]) -> bool:
    return operation.type in ("conv", "conv_transpose") and max(ranks, default=0) == HIGHEST_RANK


def _waves_on_a14(operation: Operation, soc: str, _ranks: tuple[int, ...]) -> bool:
    return operation.type in ("sin", "cos") and "A14" in soc


_GUIDE = "https://ane-guide.readthedocs.io/en/latest/part-1-machine/04-capability-surface.html"
_ANEFORGE = "https://aneforge.readthedocs.io/en/latest/capabilities/"

RULES = (
    Rule(
        "float32",
        "computes in float32, and the engine in float16",
        "https://apple.github.io/coremltools/docs-guides/source/typed-execution.html",
        _declares("fp32", "fp64"),
    ),
    Rule("integers", "yields 32-bit integers", _ANEFORGE, _declares("int32", "int64", "uint32", "uint64")),
    Rule("rank", "has more than 5 dimensions", "https://github.com/apple/coremltools/issues/1723", _deep),
    Rule("recurrent", "is a recurrent layer", _GUIDE, _is("lstm", "gru", "rnn")),
    Rule("scatter", "scatters", _GUIDE, _begins("scatter")),
    Rule("reduce_prod", "is a product over an axis", _GUIDE, _is("reduce_prod")),
    Rule("3-d", "convolves in three dimensions", _GUIDE, _three_dimensional),
    Rule("waves", "is a sine or cosine, which the engine has from A15 on", _GUIDE, _waves_on_a14),
    Rule("gather", "gathers by index", "https://github.com/apple/coremltools/issues/1103", _begins("gather")),
    Rule("topk", "picks the largest", "https://github.com/roboflow/rf-detr/pull/1495", _is("topk")),
    Rule("control", "is control flow or a list", _ANEFORGE, _begins("cond", "while_loop", "make_list", "list_")),
)
RANGE = Rule(
    "range",
    "varies within a range: on the engine at its default size alone (enumerated shapes are not so bound)",
    "https://developer.apple.com/forums/thread/724930",
    lambda _operation, _soc, _ranks: False,  # of an input, not of an operation
)


def leaves(operation: Operation, soc: str, ranks: tuple[int, ...]) -> list[Rule]:
    """Return the rules that keep an operation off the engine."""
    return [rule for rule in RULES if rule.applies(operation, soc, ranks)]
