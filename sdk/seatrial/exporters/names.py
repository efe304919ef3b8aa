"""Name the nodes of an ONNX model after the modules that they come from: the user's words in every report.

TensorRT's layers are called like the ONNX nodes that they were made of, and so are those in ONNX Runtime's profiles.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from seatrial_targets.errors import ExportError, did_you_mean

from .onnx_surgery import WEIGHTED

if TYPE_CHECKING:
    import onnx

SCOPES = "pkg.torch.onnx.name_scopes"
BEFORE_WEIGHTS = ("QuantizeLinear", "DequantizeLinear", "Cast", "Transpose")
# Of trtexec's own grammar, or not escaped in the JSON that it writes.
UNSAFE = re.compile(r"[^A-Za-z0-9_./-]")


def name_after_modules(model: onnx.ModelProto) -> None:
    """Rename the nodes of ``model`` in place: ``blocks.0.conv/Conv``, and ``/Add`` for the outermost module's own."""
    taken: set[str] = set()
    weights = {each.name for each in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    for node in model.graph.node:
        base = UNSAFE.sub("_", f"{_module(node, weights, makers)}/{node.op_type}")
        name, count = base, 2
        while name in taken:
            name, count = f"{base}_{count}", count + 1
        taken.add(name)
        node.name = name


def module_of(node: onnx.NodeProto) -> str:
    """Return the path of the module that a node named by `name_after_modules` comes from; "" is the outermost."""
    return str(node.name).rpartition("/")[0]


def nodes_of(model: onnx.ModelProto, patterns: Iterable[str]) -> dict[str, str]:
    """Return the weighted nodes that the user's module paths or patterns select: node name -> module path.

    A path selects all below it, as in ``head`` for ``head.0``. Raises ExportError, with a suggestion, when one selects
    none.
    """
    known = {node.name: module_of(node) for node in model.graph.node if node.op_type in WEIGHTED}
    found: dict[str, str] = {}
    for pattern in patterns:
        mine = {name: path for name, path in known.items() if _selects(pattern, path)}
        if not mine:
            paths = sorted(set(known.values()))
            raise ExportError(
                f"{pattern!r} is no layer with weights{did_you_mean(pattern, paths)}; "
                f"the model has {len(paths)}, such as {', '.join(paths[:6])}"
            )
        found |= mine
    return found


def _selects(pattern: str, path: str) -> bool:
    return fnmatchcase(path, pattern) or path.startswith(f"{pattern}.")


def _module(node: onnx.NodeProto, weights: set[str], makers: Mapping[str, onnx.NodeProto]) -> str:
    # Where a batch norm was folded into a convolution, the metadata is the norm's; the weight tells the convolution.
    if node.op_type in WEIGHTED and len(node.input) > 1:
        weight = node.input[1]
        while weight not in weights and weight in makers and makers[weight].op_type in BEFORE_WEIGHTS:
            weight = makers[weight].input[0]
        path, _, last = weight.rpartition(".")
        if weight in weights and last.startswith("weight"):
            return str(path)
    scopes = next((each.value for each in node.metadata_props if each.key == SCOPES), "")
    try:
        stack = ast.literal_eval(scopes) if scopes else []
    except (ValueError, SyntaxError):
        return ""
    return str(stack[-2]) if isinstance(stack, list) and len(stack) > 1 else ""
