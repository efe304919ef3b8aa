"""From a module to an ExportedProgram, in eval mode; and to ONNX. Errors name the user's line, not torch's."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ExportError

from ..compression.quantized_program import is_dynamic
from ..source import evaluating
from . import dynamic_onnx
from .blame import node_place, user_frame
from .noise import quiet
from .onnx_nbits import has_groups, translations
from .opset import TooNewError, lowered

if TYPE_CHECKING:
    import onnx
    import torch

    from ..source import ModelSource

_UNSUPPORTED = re.compile(r"<OpOverload\(op='([\w.]+)', overload='(\w+)'\)>")
_RANDOM = ("RandomUniform", "RandomUniformLike", "RandomNormal", "RandomNormalLike", "Bernoulli", "Multinomial")
OLDEST_OPSET = 18  # that torch's exporter writes by itself
PROTOBUF_LIMIT_BYTES = 2_000_000_000


def capture(
    source: ModelSource, dynamic: Mapping[str, Any] | None, inputs: Mapping[str, torch.Tensor], log: Path | None = None
) -> torch.export.ExportedProgram:
    """Capture the source's module with torch.export, in eval mode and without gradients.

    ``dynamic`` maps input names to torch.export's dynamic shapes. Raises ExportError naming the user's line.
    """
    import torch

    args, kwargs = (tuple(inputs.values()), {}) if source.positional else ((), dict(inputs))
    shapes = None if dynamic is None else (tuple(dynamic.values()) if source.positional else dict(dynamic))
    # On failure torch prints the graph so far to stderr; that goes to the log.
    said = io.StringIO()
    with torch.no_grad(), evaluating(source.module), quiet(), contextlib.redirect_stderr(said):
        try:
            program = torch.export.export(source.module, args, kwargs, dynamic_shapes=shapes)
        except Exception as error:
            keep_error(error, log, said.getvalue())
            where = user_frame(error, source.module)
            raise ExportError(
                f"{where}: torch.export can't capture the model: {_reason(error)}{see_log(log)}"
            ) from error
    sys.stderr.write(said.getvalue())
    return program


def to_onnx(
    program: torch.export.ExportedProgram, input_names: list[str], opset: int, log: Path | None = None
) -> onnx.ModelProto:
    """Convert a captured program to ONNX at ``opset``, optimised (constants and batch norms folded).

    Raises ExportError with module path and line for an operator without ONNX form, and when the opset can't be had.
    """
    _check_size(program)
    outputs = output_names(program)
    import torch

    with quiet():
        try:
            made = torch.onnx.export(
                program, dynamo=True, opset_version=max(opset, OLDEST_OPSET), input_names=input_names,
                output_names=outputs, external_data=False, optimize=True, verbose=False,
                custom_translation_table=_translations(program),
            )  # fmt: skip
        except Exception as error:
            keep_error(error, log)
            raise ExportError(f"{_conversion_problem(error, program)}{see_log(log)}") from error
    model = made.model_proto
    _check_random(model)
    return _at_opset(model, opset)


def _translations(program: torch.export.ExportedProgram) -> dict[Any, Any] | None:
    """Forms for operators of quantized programs that torch's exporter does not know."""
    found = translations() if has_groups(program) else {}
    if is_dynamic(program):
        found |= dynamic_onnx.translations()
    return found or None


def output_names(program: torch.export.ExportedProgram) -> list[str]:
    """Return names for the program's outputs: a returned dict's keys, `output`, or `output_0`, `output_1`, ..."""
    import torch

    count = len(program.graph_signature.user_outputs)
    flat = torch.utils._pytree.tree_unflatten(list(range(count)), program.call_spec.out_spec)
    if isinstance(flat, Mapping) and all(isinstance(each, int) for each in flat.values()):
        return [str(key) for key in flat]
    return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]


def _conversion_problem(error: BaseException, program: torch.export.ExportedProgram) -> str:
    text = "\n".join(str(each) for each in _causes(error))
    found = _UNSUPPORTED.search(text)
    if found is None:
        return f"the model can't be converted to ONNX: {_reason(error)}"
    name, overload = found.groups()
    operator = f"{name}.{overload}"
    places = _places(program, operator)
    where = next(filter(None, places), "the model")
    others = f" ({len(places)} places in all)" if len(places) > 1 else ""
    return (
        f"{where}: operator {operator} has no ONNX form{others}; express it with other operators, "
        "or leave that part out of the exported model"
    )


def _places(program: torch.export.ExportedProgram, operator: str) -> list[str]:
    """Where the operator is called; in the core operators when torch writes the user's call with those."""

    def found(graph: Any) -> list[str]:
        return [node_place(node) for node in graph.nodes if str(node.target) == operator]

    if here := found(program.graph):
        return here
    with quiet():
        return found(program.run_decompositions().graph)


def _causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def _reason(error: BaseException) -> str:
    root = _causes(error)[-1]
    if "data-dependent" in str(root):
        return "the way taken depends on a tensor's values; use torch.where or torch.cond there"
    lines = [line.strip() for line in str(root).splitlines() if line.strip()]
    text = " ".join(lines[:2])[:400] or type(root).__name__
    return f"{type(root).__name__}: {text}"


def _check_size(program: torch.export.ExportedProgram) -> None:
    size = sum(each.numel() * each.element_size() for each in program.state_dict.values())
    if size > PROTOBUF_LIMIT_BYTES:
        raise ExportError(
            f"the weights are {size / 1e9:.1f} GB; one ONNX file holds 2 GB and this version writes no external "
            "data; make the model smaller first"
        )


def _at_opset(model: onnx.ModelProto, wanted: int) -> onnx.ModelProto:
    found = next(each.version for each in model.opset_import if each.domain in ("", "ai.onnx"))
    if found <= wanted:
        return model
    try:
        return lowered(model, wanted)
    except TooNewError as error:
        raise ExportError(
            f"the target asks for opset {wanted}, but the model needs {found} ({error}); "
            f"set `opset: {found}` in the target when its runtime can read that"
        ) from error


def _check_random(model: onnx.ModelProto) -> None:
    random = [node for node in model.graph.node if node.op_type in _RANDOM]
    if random:
        path = next((p.value for p in random[0].metadata_props if p.key == "pkg.torch.onnx.name_scopes"), "")
        raise ExportError(
            f"the model draws random numbers ({random[0].op_type} {path}), so no output can be checked; "
            "was a .pt2 captured in train mode? call .eval() before torch.export"
        )


def keep_error(error: BaseException, log: Path | None, said: str = "") -> None:
    """Write the traceback of ``error`` to ``log``, if one was asked for, and after it what else was ``said``."""
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(traceback.format_exception(error)) + said, encoding="utf-8")


def see_log(log: Path | None) -> str:
    """Return the end of a message that says where the whole error is, or how it can be kept."""
    return f"; the whole error is in {log}" if log is not None else "; --log FILE keeps the whole error"
