"""The exporter for Core ML: torch.export, coremltools, an .mlpackage that is the same each time, golden files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_runner.bundle import Content, write_bundle

from ...verify.coreml import library
from ..capture import capture, output_names
from ..digest import program_digest
from ..golden import golden_files, tensor_entries, toolchain
from ..reference import TorchReference
from ..shapes import ShapePlan, plan_shapes
from ..tolerance import FLOOR
from .convert import Converted, convert
from .deployment import ios_level
from .features import Feature, encoded, input_features
from .package import NAME, package_files

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from seatrial_targets.profile import TargetProfile

    from ...source import ModelSource
    from .. import Progress

Arrays = dict[str, "NDArray[Any]"]


class CoreMLExporter:
    """Exports ML programs for iPhones and Macs."""

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
        ios_level(target)
        features = input_features(source, target)
        plan = plan_shapes(source, target)
        on_progress("capture the model")
        program = source.program or capture(source, plan.dynamic, plan.traced, log)
        on_progress("load coremltools")
        library.load()
        with tempfile.TemporaryDirectory() as folder:
            converted = convert(source, program, features, target, log, on_progress, Path(folder))
            files = package_files(converted.model, {})
        fields, contents = _described(source, program, features, target, converted, files, on_progress)
        on_progress("write the bundle")
        fields |= {"name": name, "recipe_digest": recipe_digest, "model_digest": _digest(source, program, plan)}
        return write_bundle(out, contents, fields).path


def _digest(source: ModelSource, program: torch.export.ExportedProgram, plan: ShapePlan) -> str:
    return program_digest(program) if plan.dynamic is None or source.program else source.digest


def _described(
    source: ModelSource,
    program: torch.export.ExportedProgram,
    features: tuple[Feature, ...],
    target: TargetProfile,
    converted: Converted,
    files: dict[str, bytes],
    on_progress: Progress,
) -> tuple[dict[str, Any], dict[str, Content]]:
    on_progress("compute golden outputs")
    examples = {name: value.detach().numpy() for name, value in source.inputs.items()}
    golden_in = encoded(features, examples)
    reference = TorchReference(source, output_names(program)).run(examples)
    spec = converted.model.get_spec().description
    golden = {
        each.name: value.astype(_dtype(each)) for each, value in zip(spec.output, reference.values(), strict=True)
    }
    fields = {
        "target": target.name,
        "profile": target.model_dump(mode="json", by_alias=True),
        "runtime": target.runtime.name,
        "precision": target.precision,
        "artifact": NAME,
        "inputs": tensor_entries("input", golden_in, {n: a.shape for n, a in golden_in.items()}, {}),
        "outputs": tensor_entries(
            "output", golden, {n: a.shape for n, a in golden.items()}, dict.fromkeys(golden, FLOOR[target.precision])
        ),
        "toolchain": toolchain("coremltools"),
        "weights_licence": source.weights_licence,
        "notes": (f"converted by the {converted.route} route", *converted.notes, "parity with torch was not checked"),
    }
    package = {f"{NAME}/{path}": Content("artifact", data) for path, data in files.items()}
    return fields, package | golden_files(golden_in, golden, reference)


def _dtype(feature: Any) -> Any:
    return {65568: np.float32, 65552: np.float16, 131104: np.int32}[feature.type.multiArrayType.dataType]
