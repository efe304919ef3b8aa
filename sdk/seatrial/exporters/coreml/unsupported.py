"""What coremltools can't convert, in words: the operator, its place in the user's module, and what to use instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ..blame import node_place

if TYPE_CHECKING:
    from .rewriting import Rewritten

_PATTERNS = (
    re.compile(r"Unsupported fx node (?P<node>\S+), kind (?P<kind>[\w.:]+)"),
    re.compile(r"PyTorch convert function for op '(?P<kind>[\w.:]+)' not implemented"),
    re.compile(r"op '(?P<kind>[\w.:]+)' not implemented", re.IGNORECASE),
    re.compile(r"lowering for Torch `(?P<kind>[\w.:]+)` op is not supported"),
)
# What users can do instead, where more can be said than "other operators".
_INVERSE = "a solution in closed form, or compute the inverse outside of the model"
_DECOMPOSED = "a decomposition that is computed outside of the model"
REPLACEMENTS = {
    "linalg_inv": _INVERSE,
    "linalg_inv_ex": _INVERSE,
    "_linalg_svd": _DECOMPOSED,
    "_linalg_eigh": _DECOMPOSED,
    "bitwise_or": "torch.logical_or on truth values, or arithmetic on whole numbers",
}


def explained(first: BaseException, second: BaseException, known: Rewritten) -> str:
    """Return one line on why neither the exported program (``first``) nor a trace (``second``) could be converted."""
    for error in (first, second):
        for pattern in _PATTERNS:
            if found := pattern.search(str(error)):
                return _named(found["kind"], found.groupdict().get("node") or "", known)
    return f"coremltools can't convert the model: {_line(first)}; and from a trace: {_line(second)}"


def _named(kind: str, name: str, known: Rewritten) -> str:
    short = kind.split("::")[-1].split(".")[0]
    node = next(iter(_candidates(short, name, known)), None)
    where = (node_place(node) if node is not None else "") or "the model"
    operator = _original(node) if node is not None else short
    advice = REPLACEMENTS.get(operator, "other operators, or leave that part out of the exported model")
    return f"{where}: operator {operator!r} can't be converted to Core ML by coremltools; use {advice}"


def _candidates(short: str, name: str, known: Rewritten) -> list[Any]:
    """Nodes that may be meant, the likeliest first: of that name, then of that operator, with a place in the code."""
    graphs = (known.program.graph, known.original.graph)
    nodes = [each for graph in graphs for each in graph.nodes if each.op == "call_function"]
    exact = [each for each in nodes if each.name == name]
    near = [each for each in nodes if short in str(each.target).replace("::", ".").split(".")]
    return [each for each in (*exact, *near) if node_place(each)]


def _original(node: Any) -> str:
    """The operator that the user called, where torch has since written it with others."""
    target = str(node.meta.get("original_aten") or node.target)
    return target.removeprefix("aten.").split(".")[0]


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:300]
