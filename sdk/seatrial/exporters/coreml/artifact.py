"""The exported package as what the rest of an export compares with torch: torch's inputs in, torch's outputs out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ExportError

from ...verify.coreml.findings import Findings
from ...verify.coreml.session import PackageSession
from ..shapes import ShapePlan
from .features import Arrays, Feature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...verify.coreml.evaluator import State


class PackageArtifact:
    """A saved package, executed by the evaluator.

    ``examples`` are torch's example inputs, ``reference`` its outputs to them: what the package gives is returned in
    their types and shapes.
    """

    def __init__(
        self, folder: Path, features: tuple[Feature, ...], plan: ShapePlan, examples: Arrays, reference: Arrays
    ) -> None:
        self.session, self.features = PackageSession(folder), features
        self._plan, self._examples, self._reference = plan, examples, reference
        self.findings = Findings()

    @property
    def output_names(self) -> tuple[str, ...]:
        """The outputs' names in the package."""
        return tuple(each.name for each in self.session.outputs)

    def run(self, inputs: Mapping[str, NDArray[Any]], states: Mapping[str, State] | None = None) -> Arrays:
        """Return the outputs for torch's inputs, both by torch's names, in torch's types.

        Raises ExportError that names the operation when a value overflows and an output is spoilt by it.
        """
        return self.as_torch(self.run_encoded(self.given(inputs), states))

    def given(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Return torch's inputs as an app gives them: under the package's names, in its types."""
        pairs = zip(self.session.inputs, self.features, strict=True)
        return {each.name: feature.encoded(inputs[feature.name]) for each, feature in pairs}

    def run_encoded(self, inputs: Mapping[str, NDArray[Any]], states: Mapping[str, State] | None = None) -> Arrays:
        """Return the outputs as an app gets them, for inputs as an app gives them."""
        outputs = self.session.run(inputs, states)
        for name, value in outputs.items():
            if value.dtype.kind == "f" and not np.isfinite(value).all():
                raise ExportError(f"output {name!r} of the package holds NaN or infinity: {self._cause(inputs)}")
        return outputs

    def observed(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """Run on inputs as an app gives them and take note of overflows in ``findings``."""
        return self.session.run(inputs, observer=self.findings.observe)

    def exact(self) -> PackageSession:
        """Return the package without rounding between its operations."""
        return PackageSession(self.session.package.folder, rounded=False)

    def as_torch(self, outputs: Arrays) -> Arrays:
        """Return the package's outputs under torch's names, in torch's types and, for a classifier, its shape."""
        made = {}
        for (name, like), value in zip(self._reference.items(), outputs.values(), strict=True):
            shaped = value.reshape(like.shape) if value.size == like.size and value.ndim != like.ndim else value
            made[name] = (np.rint(shaped) if like.dtype.kind in "iu" else shaped).astype(like.dtype)
        return made

    def described(self) -> tuple[dict[str, tuple[int | str, ...]], dict[str, tuple[int | str, ...]]]:
        """Return the shapes of the package's inputs and outputs by name; a dimension that varies has a name."""
        shapes = zip(self.session.inputs, self.features, self.torch_shapes().values(), strict=True)
        return (
            {each.name: _image_shape(shape) if feature.image else shape for each, feature, shape in shapes},
            {each.name: self._output_shape(each.name) for each in self.session.outputs},
        )

    def torch_shapes(self) -> dict[str, tuple[int | str, ...]]:
        """Return the shapes of torch's inputs by torch's names."""
        return {name: _named(name, value.shape, self._moving(name)) for name, value in self._examples.items()}

    def renamed(self) -> tuple[str, ...]:
        """Say which inputs and outputs have another name in the package: some words are MIL's own."""
        ours = (*(each.name for each in self.features), *self._reference)
        theirs = (*(each.name for each in self.session.inputs), *self.output_names)
        return tuple(f"{a!r} is called {b!r} in the package" for a, b in zip(ours, theirs, strict=True) if a != b)

    def _moving(self, name: str) -> set[int]:
        given = (self._plan.dynamic or {}).get(name) or {}
        pairs = given.items() if isinstance(given, Mapping) else enumerate(given)
        return {axis for axis, dim in pairs if dim is not None}

    def _output_shape(self, name: str) -> tuple[int | str, ...]:
        declared = self.session.package.function.declared(name)
        if declared is None or declared.kind != "tensor":  # a classifier's probabilities
            index = self.output_names.index(name)
            return (int(list(self._reference.values())[index].size),)
        return tuple(f"{name}_axis{axis}" if n is None else n for axis, n in enumerate(declared.shape))

    def _cause(self, inputs: Mapping[str, NDArray[Any]]) -> str:
        findings = Findings()
        self.session.run(inputs, observer=findings.observe)
        if findings.overflows:
            return (
                f"{findings.overflows[0]}; keep it in float32 (--keep-float32 auto, or NAME), export this model "
                "as fp32, or scale what that operation takes"
            )
        return f"it begins with {findings.invalid or 'the inputs'}; export this model as fp32"


def _named(name: str, shape: tuple[int, ...], moving: set[int]) -> tuple[int | str, ...]:
    return tuple(f"{name}_axis{axis}" if axis in moving else int(n) for axis, n in enumerate(shape))


def _image_shape(shape: tuple[int | str, ...]) -> tuple[int | str, ...]:
    channels, height, width = shape[1:]
    return (height, width, 3) if channels == 3 else (height, width)
