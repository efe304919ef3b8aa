"""The exporter for ONNX Runtime: torch.export, ONNX, precision, golden outputs, parity, bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_runner.bundle import Content, write_bundle
from seatrial_targets.errors import ExportError

from .accuracy import measure_accuracy
from .capture import capture, output_names, to_onnx
from .digest import program_digest
from .golden import golden_files, tensor_entries, toolchain
from .host import Arrays, HostSession
from .onnx_surgery import canonical, precision_summary, serialized, symbolic_axes
from .ort_format import to_ort
from .parity import OVERFLOW, check_finite, measure_parity
from .quantize import to_dynamic_int8, to_fp16, to_static_int8
from .reference import TorchReference
from .samples import read_samples
from .shapes import ShapePlan, plan_shapes, resized
from .tolerance import spread, tolerance

if TYPE_CHECKING:
    import onnx
    import torch

    from seatrial_targets.profile import TargetProfile

    from ..source import ModelSource
    from . import Progress

DEFAULT_OPSET = 18  # the lowest that torch's exporter writes by itself; ONNX Runtime 1.14 reads it


@dataclass(frozen=True)
class Artifact:
    """An exported model: what the device loads, and the ONNX it was made of when that is another file."""

    path: str
    data: bytes
    onnx: bytes
    precision_summary: dict[str, int]
    notes: tuple[str, ...]


class OnnxRuntimeExporter:
    """Exports for ONNX Runtime on CPUs, as FP32, FP16, dynamic INT8 or static INT8."""

    def export(
        self,
        source: ModelSource,
        target: TargetProfile,
        out: Path,
        *,
        name: str,
        log: Path | None,
        on_progress: Progress,
        recipe_digest: str = "",
    ) -> Path:
        """Write the bundle at ``out`` and return it. Raises ExportError or ModelError."""
        plan = plan_shapes(source, target)
        on_progress("capture the model")
        program = _captured(source, plan, log)
        on_progress("convert to ONNX")
        model = to_onnx(program, list(source.inputs), target.opset or DEFAULT_OPSET, log)
        model = canonical(model, symbolic_axes(model))
        artifact = _artifact(model, source, target, on_progress)
        fields, contents = _described(artifact, program, plan, source, target, on_progress)
        on_progress("write the bundle")
        fields |= {"name": name, "recipe_digest": recipe_digest, "model_digest": _digest(source, program, plan)}
        return write_bundle(out, contents, fields).path


def _captured(source: ModelSource, plan: ShapePlan, log: Path | None) -> torch.export.ExportedProgram:
    if source.program is None:
        return capture(source, plan.dynamic, plan.traced, log)
    if plan.dynamic is not None and any(isinstance(n, int) for n in _moving_sizes(source, plan)):
        raise ExportError(
            "the target's shapes vary, but the .pt2 was captured with fixed ones; capture it again with "
            "torch.export.export(..., dynamic_shapes=...)"
        )
    return source.program


def _moving_sizes(source: ModelSource, plan: ShapePlan) -> list[Any]:
    nodes = {node.name: node for node in source.program.graph.nodes} if source.program else {}
    dynamic = plan.dynamic or {}
    return [nodes[name].meta["val"].shape[axis] for name, axes in dynamic.items() if axes for axis in axes]


def _digest(source: ModelSource, program: torch.export.ExportedProgram, plan: ShapePlan) -> str:
    # Captured with fixed shapes the program is the model's identity; else it is captured once more, so that
    # one model has one digest for all targets.
    return program_digest(program) if plan.dynamic is None or source.program else source.digest


def _artifact(model: onnx.ModelProto, source: ModelSource, target: TargetProfile, on_progress: Progress) -> Artifact:
    made, notes = _with_precision(model, source, target, on_progress)
    made = canonical(made)
    data = serialized(made)
    summary = precision_summary(made)
    if not target.ort_format:
        return Artifact("model.onnx", data, data, summary, notes)
    on_progress("convert to .ort")
    return Artifact("model.ort", to_ort(data, target), data, summary, notes)


def _with_precision(
    model: onnx.ModelProto, source: ModelSource, target: TargetProfile, on_progress: Progress
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    if target.precision == "fp32":
        return model, ()
    if target.precision == "fp16":
        on_progress("convert to float16")
        slow = ("an x86 CPU computes float16 models in float32: smaller, not faster",)
        return to_fp16(model, _some_samples(model, source)), slow if target.device.architecture == "x86_64" else ()
    how = target.quantization
    if how is None:
        raise ExportError(f"target {target.name!r} is int8 without a quantization section; add one")
    if how.scheme == "dynamic":
        on_progress("quantize (dynamic)")
        return to_dynamic_int8(model, how), ("dynamic INT8 speeds up matrix products, not convolutions",)
    return to_static_int8(model, read_samples(source, "calibration", _input_shapes(model)), how, on_progress)


def _some_samples(model: onnx.ModelProto, source: ModelSource) -> list[Arrays]:
    """The example inputs and a few of the calibration samples, if there are any."""
    examples = {name: np.ascontiguousarray(value.detach().numpy()) for name, value in source.inputs.items()}
    return [examples, *read_samples(source, "calibration", _input_shapes(model))[:8]]


def _input_shapes(model: onnx.ModelProto) -> dict[str, tuple[int | str, ...]]:
    return HostSession(serialized(model), optimization="none").described()[0]


def _described(
    artifact: Artifact,
    program: torch.export.ExportedProgram,
    plan: ShapePlan,
    source: ModelSource,
    target: TargetProfile,
    on_progress: Progress,
) -> tuple[dict[str, Any], dict[str, Content]]:
    """The manifest's fields and the bundle's contents: golden outputs, tolerances, parity, accuracy."""
    session = _session(artifact, target)
    golden_in = {name: np.ascontiguousarray(value.detach().numpy()) for name, value in source.inputs.items()}
    on_progress("compute golden outputs")
    golden = session.run(golden_in)
    check_finite(golden, "the exported model on its example inputs", OVERFLOW)
    reference = TorchReference(source, output_names(program))
    inputs, outputs = session.described()
    on_progress("compare with torch")
    parity = _parity(reference, session, source, plan, golden_in, inputs)
    on_progress("measure accuracy")
    accuracy = measure_accuracy(source, program, session)
    widest = _spread(artifact, target, golden_in, golden)
    tolerances = {name: tolerance(target.precision, widest[name]) for name in golden}
    fields = {
        "target": target.name,
        "profile": target.model_dump(mode="json", by_alias=True),
        "runtime": target.runtime.name,
        "precision": target.precision,
        "artifact": artifact.path,
        "inputs": tensor_entries("input", golden_in, inputs, {}),
        "outputs": tensor_entries("output", golden, outputs, tolerances),
        "precision_summary": artifact.precision_summary,
        "parity": parity,
        "accuracy": accuracy,
        "toolchain": toolchain("onnx", "onnxscript", "onnxruntime", "onnxconverter-common"),
        "weights_licence": source.weights_licence,
        "notes": (*artifact.notes, *_unused_checks(source)),
    }
    return fields, _contents(artifact, golden_in, golden, reference.run(golden_in))


def _session(artifact: Artifact, target: TargetProfile) -> HostSession:
    return HostSession.as_profiled(artifact.data, target.runtime)


def _spread(artifact: Artifact, target: TargetProfile, inputs: Arrays, golden: Arrays) -> dict[str, float]:
    # Of the ONNX, also when the device gets an .ort: that is optimised once and for all.
    return spread(artifact.onnx, target.runtime, inputs, golden)


def _parity(
    reference: TorchReference,
    session: HostSession,
    source: ModelSource,
    plan: ShapePlan,
    golden_in: Arrays,
    shapes: Mapping[str, tuple[int | str, ...]],
) -> dict[str, float]:
    samples = read_samples(source, "checks", shapes) or [golden_in]
    figures = measure_parity(reference.run, session.run, samples)
    figures |= {f"golden_{key}": value for key, value in _compared(reference, session, golden_in).items()}
    if plan.corners:
        corners = [_cornered(source, shape) for shape in plan.corners]
        found = [_compared(reference, session, each).get("sqnr_db", 0.0) for each in corners]
        figures["corner_shapes_sqnr_db"] = min(found)
    return figures


def _compared(reference: TorchReference, session: HostSession, inputs: Arrays) -> dict[str, float]:
    figures = measure_parity(reference.run, session.run, [inputs])
    return {key: figures[key] for key in ("sqnr_db", "max_abs") if key in figures}


def _cornered(source: ModelSource, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    return {name: resized(value, shapes.get(name, tuple(value.shape))).numpy() for name, value in source.inputs.items()}


def _unused_checks(source: ModelSource) -> tuple[str, ...]:
    return (
        () if source.checks is not None else ("parity was measured on the example inputs alone: no checks were given",)
    )


def _contents(artifact: Artifact, golden_in: Arrays, golden: Arrays, reference: Arrays) -> dict[str, Content]:
    found = {artifact.path: Content("artifact", artifact.data)}
    if artifact.path != "model.onnx":
        found["model.onnx"] = Content("record", artifact.onnx)
    return found | golden_files(golden_in, golden, reference)
