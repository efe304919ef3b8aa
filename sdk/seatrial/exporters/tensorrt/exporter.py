"""The exporter for TensorRT: torch.export, ONNX, explicit precision, golden outputs, the record of the build."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_runner.bundle import Content, write_bundle
from seatrial_runner.bundle import canonical as canonical_json
from seatrial_runner.enginebuild import ENGINE_BUILD_FILE, EngineBuild, InputProfile, modes_for
from seatrial_targets.profile import TargetProfile, span

from ...verify.tensorrt.finding import Context
from ..agreement import Agreement, compare, example_arrays, notes_on
from ..capture import to_onnx
from ..golden import toolchain
from ..host import Arrays, HostSession
from ..onnx_surgery import canonical, precision_summary, serialized, symbolic_axes
from ..program import captured, identity
from ..samples import read_samples
from ..shapes import plan_shapes
from .names import name_after_modules
from .precision import Precise, with_precision
from .tolerance import tolerances_of

if TYPE_CHECKING:
    import onnx

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
        made = _precise(canonical(model, symbolic_axes(model)), source, target, on_progress)
        data = serialized(canonical(made.model))
        session = HostSession(data, optimization="none")

        def tolerances(inputs: Arrays, golden: Arrays) -> dict[str, float]:
            return tolerances_of(made, target, inputs, golden)

        agreement = compare(source, program, plan, session, tolerances, on_progress)
        on_progress("write the bundle")
        fields = _fields(made, agreement, source, target)
        fields |= {"name": name, "recipe_digest": recipe_digest, "model_digest": identity(source, program, plan)}
        return write_bundle(out, _contents(data, _build(made, data, target), agreement), fields).path


def _precise(model: onnx.ModelProto, source: ModelSource, target: TargetProfile, on_progress: Progress) -> Precise:
    shapes = HostSession(serialized(model), optimization="none").described()[0]
    samples = read_samples(source, "calibration", shapes)
    keep = target.quantization.keep_float if target.quantization is not None else ()
    return with_precision(model, samples, [example_arrays(source)], keep, target, on_progress)


def _fields(made: Precise, agreement: Agreement, source: ModelSource, target: TargetProfile) -> dict[str, Any]:
    return {
        "target": target.name,
        "profile": target.model_dump(mode="json", by_alias=True),
        "runtime": target.runtime.name,
        "precision": target.precision,
        "artifact": MODEL,
        "precision_summary": precision_summary(made.model),
        "toolchain": toolchain("onnx", "onnxscript", "onnxruntime"),
        "notes": (*made.notes, *notes_on(source)),
        **agreement.fields,
    }


def _build(made: Precise, data: bytes, target: TargetProfile) -> EngineBuild:
    context, engine, how = Context.of(target), target.runtime.engine, target.quantization
    spans = {name: span(shape) for name, shape in target.shapes.items()}
    return EngineBuild(
        onnx=MODEL,
        onnx_sha256=hashlib.sha256(data).hexdigest(),
        form=made.form,
        weights=made.weights,
        opset=target.opset or DEFAULT_OPSET,
        versions=target.runtime.versions,
        modes=modes_for(made.form, context.oldest, context.end, choose_fp16=how is not None and how.rest == "either"),
        profiles={n: InputProfile(min=a, opt=b, max=c) for n, (a, b, c) in spans.items() if a != c},
        tf32=engine.tf32,
        sparsity=engine.sparsity,
        optimization_level=engine.optimization_level,
        workspace_bytes=engine.workspace_bytes,
        float32_layers=made.float32_layers,
        kept_float=made.kept_float,
        calibration=made.calibration,
    )


def _contents(data: bytes, build: EngineBuild, agreement: Agreement) -> dict[str, Content]:
    record = canonical_json(build.model_dump(mode="json", by_alias=True))
    return {MODEL: Content("artifact", data), ENGINE_BUILD_FILE: Content("record", record), **agreement.contents}
