"""The exporter for Core ML: torch.export, coremltools, an .mlpackage that is the same each time, golden files."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_runner.bundle import Content, write_bundle
from seatrial_runner.bundle import canonical as canonical_json

from ...verify.coreml import library
from ...verify.coreml.deployability import DEPLOYABILITY_FILE, deployability
from ...verify.coreml.weights import precision_summary
from ..agreement import Agreement, example_arrays
from ..capture import output_names
from ..golden import toolchain
from ..program import captured, identity
from ..shapes import plan_shapes
from .agreement import agree
from .checks import check_program, check_target
from .features import input_features
from .float32 import chosen, notes_on_precision
from .making import Made, Maker
from .package import NAME
from .quantize import quantized
from .reference import AppReference, states_of
from .rewriting import rewritten

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile

    from ...source import ModelSource
    from .. import Progress


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
        check_target(target)
        features = input_features(source, target)
        plan = plan_shapes(source, target)
        on_progress("capture the model")
        source = quantized(source, target, on_progress)
        program = captured(source, plan, log)
        on_progress("load coremltools")
        library.load()
        known = rewritten(program)
        check_program(source, known.program, target)
        reference = AppReference(source, output_names(program), features, states_of(source, known.program))
        with tempfile.TemporaryDirectory() as temporary:
            examples = example_arrays(source)
            maker = Maker(source, known, features, plan, examples, reference.run(examples), log, on_progress)
            wanted = chosen(target, maker, reference, Path(temporary) / "exact")
            made = maker.make(wanted, Path(temporary) / "made")
            artifact = made.artifact
            agreement = agree(source, program, plan, target, reference, artifact, on_progress)
            notes = notes_on_precision(target, made, agreement, maker)
            report = deployability(artifact.session.package, target.device.soc)
        record = {DEPLOYABILITY_FILE: Content("record", canonical_json(report))}
        on_progress("write the bundle")
        fields = _fields(made, agreement, target, notes)
        fields |= {"name": name, "recipe_digest": recipe_digest, "model_digest": identity(source, program, plan)}
        package = {f"{NAME}/{path}": Content("artifact", data) for path, data in made.files.items()}
        return write_bundle(out, package | record | agreement.contents, fields).path


def _fields(
    made: Made, agreement: Agreement, target: TargetProfile, precision_notes: tuple[str, ...]
) -> dict[str, Any]:
    converted = made.converted
    route = f"converted by the {converted.route} route"
    notes = (route, *converted.notes, *precision_notes, *agreement.fields["notes"])
    return {
        "target": target.name,
        "profile": target.model_dump(mode="json", by_alias=True),
        "runtime": target.runtime.name,
        "precision": target.precision,
        "artifact": NAME,
        "precision_summary": precision_summary(made.artifact.session.package.function),
        "toolchain": toolchain("coremltools"),
        **agreement.fields,
        "notes": notes,
    }
