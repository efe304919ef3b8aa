"""The exporter for ONNX Runtime: torch.export, ONNX, precision, golden outputs, parity, bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_runner.bundle import Content, write_bundle
from seatrial_targets.errors import ExportError

from ..compression.quantized_program import has_integer_arithmetic
from .agreement import compare, example_arrays, notes_on
from .capture import to_onnx
from .dynamic_onnx import fuse_dynamic
from .golden import toolchain
from .host import Arrays, HostSession
from .integer_onnx import for_onnxruntime, left_in_float
from .names import name_after_modules, nodes_of
from .onnx_nbits import fuse_groups, has_groups
from .onnx_surgery import canonical, precision_summary, serialized, symbolic_axes
from .ort_format import to_ort
from .program import captured, identity
from .quantize import to_dynamic_int8, to_fp16, to_static_int8
from .samples import read_samples
from .shapes import ShapePlan, plan_shapes
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
        program = captured(source, plan, log)
        on_progress("convert to ONNX")
        model = to_onnx(program, list(source.inputs), target.opset or DEFAULT_OPSET, log)
        if has_groups(program):
            fuse_groups(model)
        name_after_modules(model)
        model = canonical(model, symbolic_axes(model))
        artifact = _artifact(model, program, source, target, on_progress)
        fields, contents = _described(artifact, program, plan, source, target, on_progress)
        on_progress("write the bundle")
        fields |= {"name": name, "recipe_digest": recipe_digest, "model_digest": identity(source, program, plan)}
        return write_bundle(out, contents, fields).path


def _artifact(
    model: onnx.ModelProto,
    program: torch.export.ExportedProgram,
    source: ModelSource,
    target: TargetProfile,
    on_progress: Progress,
) -> Artifact:
    precise = _in_integers if has_integer_arithmetic(program) else _with_precision
    made, notes = precise(model, source, target, on_progress)
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
    keep = nodes_of(model, (*how.keep_float, *source.keep_float))
    if how.scheme == "dynamic":
        on_progress("quantize (dynamic)")
        return to_dynamic_int8(model, how, keep), ("dynamic INT8 speeds up matrix products, not convolutions",)
    samples = read_samples(source, "calibration", _input_shapes(model))
    return to_static_int8(model, samples, how, on_progress, keep)


def _in_integers(
    model: onnx.ModelProto, source: ModelSource, target: TargetProfile, on_progress: Progress
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The model brings its own quantizers: the target says only how their integers are stored."""
    if target.precision != "int8" or target.quantization is None:
        raise ExportError(
            f"the model is quantized, and target {target.name!r} is {target.precision}; export it for an INT8 target, "
            "or export the model that it was compressed from"
        )
    on_progress("put the quantizers into ONNX Runtime's form")
    if fuse_dynamic(model):
        return model, ("scales of activations are found while the model runs",)
    unsigned = target.quantization.activation == "uint8"
    made = for_onnxruntime(model, unsigned=unsigned, rescale=not source.learned_scales)
    return made, ("the quantizers are the model's own", *left_in_float(made))


def _some_samples(model: onnx.ModelProto, source: ModelSource) -> list[Arrays]:
    """The example inputs and a few of the calibration samples, if there are any."""
    return [example_arrays(source), *read_samples(source, "calibration", _input_shapes(model))[:8]]


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

    def tolerances(inputs: Arrays, golden: Arrays) -> dict[str, float]:
        # Of the ONNX, also when the device gets an .ort: that is optimised once and for all.
        widest = spread(artifact.onnx, target.runtime, inputs, golden)
        return {name: tolerance(target.precision, widest[name]) for name in golden}

    session = HostSession.as_profiled(artifact.data, target.runtime)
    agreement = compare(source, program, plan, session, tolerances, on_progress)
    fields = {
        "target": target.name,
        "profile": target.model_dump(mode="json", by_alias=True),
        "runtime": target.runtime.name,
        "precision": target.precision,
        "artifact": artifact.path,
        "precision_summary": artifact.precision_summary,
        "toolchain": toolchain("onnx", "onnxscript", "onnxruntime", "onnxconverter-common"),
        "notes": (*artifact.notes, *notes_on(source)),
        **agreement.fields,
    }
    return fields, {**_files(artifact), **agreement.contents}


def _files(artifact: Artifact) -> dict[str, Content]:
    found = {artifact.path: Content("artifact", artifact.data)}
    if artifact.path != "model.onnx":
        found["model.onnx"] = Content("record", artifact.onnx)
    return found
