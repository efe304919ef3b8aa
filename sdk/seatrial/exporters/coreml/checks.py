"""What is refused before anything is converted: options that the target's system lacks, and models that do not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import ExportError

from ..capture import output_names
from .deployment import ios_level, require
from .storage import check_storage

if TYPE_CHECKING:
    import torch

    from seatrial_targets.profile import TargetProfile

    from ...source import ModelSource


def check_target(target: TargetProfile) -> None:
    """Raise ExportError for what the target asks for and its system, or Core ML, can't do."""
    ios_level(target)
    check_storage(target)
    how = target.quantization
    if how is not None and how.scheme == "dynamic":
        raise ExportError("Core ML has no dynamic INT8; use the scheme static, or weights of 8 bits (weights: linear)")
    if how is not None:
        require(target, 17, "INT8 activations")


def check_program(source: ModelSource, program: torch.export.ExportedProgram, target: TargetProfile) -> None:
    """Raise ExportError for states and quantizers that the target's system lacks, sizes without bounds, and labels that
    do not fit."""
    if program.graph_signature.buffers_to_mutate:
        names = ", ".join(dict.fromkeys(program.graph_signature.buffers_to_mutate.values()))
        require(target, 18, f"a model that changes its own buffers ({names}), which Core ML keeps as states,")
    _check_quantizers(program, target)
    _check_bounds(program, source, target)
    if source.class_labels:
        _check_labels(source, program)


def _check_quantizers(program: torch.export.ExportedProgram, target: TargetProfile) -> None:
    from ...compression.quantized_program import is_dynamic, is_quantized

    if not is_quantized(program):
        return
    if is_dynamic(program):
        raise ExportError("the model is quantized dynamically, which Core ML has not; quantize it statically")
    if target.precision != "int8":
        raise ExportError(
            f"the model is quantized, and target {target.name!r} is {target.precision}; choose a target with int8"
        )


def _check_bounds(program: torch.export.ExportedProgram, source: ModelSource, target: TargetProfile) -> None:
    limits = {str(symbol): interval for symbol, interval in program.range_constraints.items()}
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    for name, placeholder in zip(source.inputs, program.graph_signature.user_inputs, strict=True):
        if name in target.shapes:
            continue
        for axis, size in enumerate(nodes[placeholder].meta["val"].shape):
            interval = limits.get(str(size))
            if interval is not None and not _bounded(interval):
                raise ExportError(
                    f"axis {axis} of input {name!r} may grow without bound, which Core ML does not allow; give its "
                    f"sizes in the target: shapes: {{{name}: {{min: [...], opt: [...], max: [...]}}}}"
                )


def _bounded(interval: Any) -> bool:
    try:
        return int(interval.upper) < 2**31 - 1
    except (TypeError, ValueError, OverflowError, AttributeError):  # torch's own infinity
        return False


def _check_labels(source: ModelSource, program: torch.export.ExportedProgram) -> None:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    outputs = [values[name] for name in program.graph_signature.user_outputs]
    count = len(source.class_labels)
    if len(outputs) != 1 or not outputs[0].is_floating_point() or outputs[0].numel() != count:
        shapes = ", ".join(
            f"{name} {list(each.shape)}" for name, each in zip(output_names(program), outputs, strict=True)
        )
        raise ExportError(
            f"{count} class labels need one output of {count} numbers for one sample; the model gives {shapes}"
        )
    if len(set(source.class_labels)) != count:
        raise ExportError("class_labels has a label twice; Core ML gives a classifier's result by label")
