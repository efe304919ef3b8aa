"""The exporter for TensorRT: torch.export, ONNX, explicit precision, golden outputs, the record of the build."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_runner.bundle import Content, write_bundle
from seatrial_runner.bundle import canonical as canonical_json
from seatrial_runner.enginebuild import ENGINE_BUILD_FILE, EngineBuild, InputProfile, modes_for
from seatrial_targets.errors import ExportError
from seatrial_targets.profile import TargetProfile, span

from ...verify.tensorrt.finding import Context
from ..agreement import Agreement, compare, example_arrays, notes_on
from ..capture import to_onnx
from ..golden import toolchain
from ..host import Arrays, HostSession
from ..names import name_after_modules
from ..onnx_surgery import canonical, precision_summary, serialized, symbolic_axes
from ..program import captured, identity
from ..samples import read_samples
from ..shapes import ShapePlan, plan_shapes
from .ends import INT64_SINCE, EndsSession, narrowed, require_types
from .layers import LAYERS_FILE, LayerNoise, layer_noise, record_of
from .placement import Placement
from .precision import Precise, with_precision
from .sparsity import sparsity_notes
from .tolerance import tolerances_of
from .verdict import CHECKS_FILE, Checks, run_checks

if TYPE_CHECKING:
    import onnx
    import torch

    from ...source import ModelSource
    from .. import Progress

DEFAULT_OPSET = 17  # the highest that the parser of TensorRT 8.5 reads; all later ones read it, too
MODEL = "model.onnx"


class TensorRTExporter:
    """Exports ONNX for TensorRT as FP32, FP16, or INT8 with explicit Q/DQ; the engine is built on the device."""

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
        name_after_modules(model)
        model = canonical(model, symbolic_axes(model))
        require_types(model)
        samples = _samples(model, source) if target.precision != "fp32" else []
        made = _precise(model, samples, source, target, on_progress)
        final = canonical(made.model if Context.of(target).oldest >= INT64_SINCE else narrowed(made.model))
        checks = run_checks(final, target, log, on_progress, made.float32_layers)
        agreement = _agreement(made, final, source, program, plan, target, on_progress)
        records = _records(made, serialized(final), checks, samples, source, target, on_progress)
        on_progress("write the bundle")
        fields = _fields(made, checks, agreement, source, target)
        fields |= {"name": name, "recipe_digest": recipe_digest, "model_digest": identity(source, program, plan)}
        contents = {MODEL: Content("artifact", serialized(final)), **records, **agreement.contents}
        return write_bundle(out, contents, fields).path


def _samples(model: onnx.ModelProto, source: ModelSource) -> list[Arrays]:
    return read_samples(source, "calibration", HostSession(serialized(model), optimization="none").described()[0])


def _precise(
    model: onnx.ModelProto, samples: Sequence[Arrays], source: ModelSource, target: TargetProfile, on_progress: Progress
) -> Precise:
    kept = target.quantization.keep_float if target.quantization is not None else ()
    return with_precision(model, samples, [example_arrays(source)], (*kept, *source.keep_float), target, on_progress)


def _agreement(
    made: Precise,
    final: onnx.ModelProto,
    source: ModelSource,
    program: torch.export.ExportedProgram,
    plan: ShapePlan,
    target: TargetProfile,
    on_progress: Progress,
) -> Agreement:
    def tolerances(inputs: Arrays, golden: Arrays) -> dict[str, float]:
        return tolerances_of(made, target, inputs, golden)

    session = EndsSession(final, serialized(final))
    return compare(source, program, plan, session, tolerances, on_progress)


def _records(
    made: Precise,
    data: bytes,
    checks: Checks,
    samples: Sequence[Arrays],
    source: ModelSource,
    target: TargetProfile,
    on_progress: Progress,
) -> dict[str, Content]:
    """The files beside the model: how to build it, what was found, which layer quantization hurts."""
    found = {
        ENGINE_BUILD_FILE: _build(made, data, target).model_dump(mode="json", by_alias=True),
        CHECKS_FILE: checks.record(),
    }
    if made.placement is not None:
        on_progress("measure the noise of each layer")
        found[LAYERS_FILE] = record_of(_noise(made, made.placement, samples or [example_arrays(source)]))
    return {path: Content("record", canonical_json(value)) for path, value in found.items()}


def _noise(made: Precise, placement: Placement, samples: Sequence[Arrays]) -> tuple[LayerNoise, ...]:
    return layer_noise(made.original, made.plain, placement, made.scales, made.given, samples)


def _fields(
    made: Precise, checks: Checks, agreement: Agreement, source: ModelSource, target: TargetProfile
) -> dict[str, Any]:
    return {
        "target": target.name,
        "profile": target.model_dump(mode="json", by_alias=True),
        "runtime": target.runtime.name,
        "precision": target.precision,
        "artifact": MODEL,
        "precision_summary": precision_summary(made.model),
        "toolchain": toolchain("onnx", "onnxscript", "onnxruntime", *(["tensorrt-rtx"] if checks.compiled else [])),
        "notes": (*made.notes, *sparsity_notes(made.model), *checks.notes, *notes_on(source)),
        **agreement.fields,
    }


def _build(made: Precise, data: bytes, target: TargetProfile) -> EngineBuild:
    context, engine, how = Context.of(target), target.runtime.engine, target.quantization
    spans = {name: span(shape) for name, shape in target.shapes.items()}
    modes = modes_for(made.form, context.oldest, context.end, choose_fp16=how is not None and how.rest == "either")
    if not modes:
        raise ExportError(
            f"target {target.name!r}: quantization.rest is either, which ends with TensorRT 10; take fp16 or fp32"
        )
    return EngineBuild(
        onnx=MODEL,
        onnx_sha256=hashlib.sha256(data).hexdigest(),
        form=made.form,
        weights=made.weights,
        opset=target.opset or DEFAULT_OPSET,
        versions=target.runtime.versions,
        modes=modes,
        profiles={n: InputProfile(min=a, opt=b, max=c) for n, (a, b, c) in spans.items() if a != c},
        tf32=engine.tf32,
        sparsity=engine.sparsity or bool(sparsity_notes(made.model)),
        optimization_level=engine.optimization_level,
        workspace_bytes=engine.workspace_bytes,
        float32_layers=made.float32_layers,
        kept_float=made.kept_float,
        calibration=made.calibration,
    )
