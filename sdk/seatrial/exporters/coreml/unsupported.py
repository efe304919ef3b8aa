"""What coremltools can't convert, in words: the operator, its place in the user's module, and what to use instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ..blame import node_place

if TYPE_CHECKING:
    import torch

_PATTERNS = (
    re.compile(r"Unsupported fx node (?P<node>\S+), kind (?P<kind>[\w.:]+)"),
    re.compile(r"PyTorch convert function for op '(?P<kind>[\w.:]+)' not implemented"),
    re.compile(r"op '(?P<kind>[\w.:]+)' not implemented", re.IGNORECASE),
)
# What users can write instead. Only what was tried: each is converted and compared with torch in the tests.
REPLACEMENTS = {
    "new_ones": "torch.ones(x.shape, ...)",
}


def explained(first: BaseException, second: BaseException, program: torch.export.ExportedProgram) -> str:
    """Return one line on why neither the exported program (``first``) nor a trace (``second``) could be converted."""
    for error in (first, second):
        for pattern in _PATTERNS:
            if found := pattern.search(str(error)):
                return _named(found["kind"], found.groupdict().get("node") or "", program)
    return f"coremltools can't convert the model: {_line(first)}; and from a trace: {_line(second)}"


def _named(kind: str, node: str, program: torch.export.ExportedProgram) -> str:
    short = kind.split("::")[-1].split(".")[0]
    where = _place(short, node, program) or "the model"
    advice = REPLACEMENTS.get(short, "other operators, or leave that part out of the exported model")
    return f"{where}: operator {short!r} can't be converted to Core ML by coremltools; use {advice}"


def _place(short: str, node: str, program: torch.export.ExportedProgram) -> str:
    for graph in (program.graph, program.run_decompositions({}).graph):
        nodes = [each for each in graph.nodes if each.op == "call_function"]
        exact = [each for each in nodes if each.name == node]
        near = [each for each in nodes if short in str(each.target).replace("::", ".").split(".")]
        for each in (*exact, *near):
            if place := node_place(each):
                return place
    return ""


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines[:2])}"[:300]
