"""From a captured program to a package that was read back, once for each way that an export tries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .artifact import PackageArtifact
from .convert import Converted, convert
from .features import Arrays, Feature
from .package import package_files, write_package
from .rewriting import Rewritten

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile

    from ...source import ModelSource
    from .. import Progress
    from ..shapes import ShapePlan


@dataclass(frozen=True)
class Made:
    """A conversion, the files of its package, and the package as the evaluator has read it back."""

    converted: Converted
    files: dict[str, bytes]
    artifact: PackageArtifact


@dataclass(frozen=True)
class Maker:
    """All that a conversion needs but the target. ``answers`` are torch's to the ``examples``."""

    source: ModelSource
    known: Rewritten
    features: tuple[Feature, ...]
    plan: ShapePlan
    examples: Arrays
    answers: Arrays
    log: Path | None
    on_progress: Progress

    def make(self, target: TargetProfile, folder: Path) -> Made:
        """Convert for ``target`` in ``folder``. Raises ExportError."""
        folder.mkdir()
        converted = convert(self.source, self.known, self.features, target, self.log, self.on_progress, folder)
        files = package_files(converted.model, self._metadata())
        package = write_package(files, folder)
        self.on_progress("read the package back")
        return Made(converted, files, PackageArtifact(package, self.features, self.plan, self.examples, self.answers))

    def _metadata(self) -> dict[str, str]:
        licence = {"licence": self.source.weights_licence} if self.source.weights_licence else {}
        return licence | dict(self.source.metadata)
