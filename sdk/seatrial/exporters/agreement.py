"""How an exported artifact agrees with torch: golden outputs, parity on the checks, the user's accuracy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from seatrial_runner.bundle import Content

from .accuracy import measure_accuracy
from .capture import output_names
from .golden import golden_files, tensor_entries
from .parity import OVERFLOW, check_finite, measure_parity
from .reference import TorchReference
from .samples import Arrays, Shapes, read_samples
from .shapes import ShapePlan, resized

if TYPE_CHECKING:
    import torch

    from ..source import ModelSource
    from . import Progress


ON_EXAMPLES = "parity was measured on the example inputs alone: no checks were given"
AGAINST_ITSELF = (
    "parity was measured against the compressed model, not against the one that it was made from: --data names that"
)


class Reference(Protocol):
    """What an artifact is held to."""

    def run(self, inputs: Mapping[str, Any]) -> Arrays:
        """Return the outputs for one sample, both by name."""
        ...


class Runnable(Protocol):
    """An exported artifact, loaded on this host."""

    def given(self, inputs: Mapping[str, Any]) -> Arrays:
        """Return a sample as the artifact takes it: its own types."""
        ...

    def run(self, inputs: Mapping[str, Any]) -> Arrays:
        """Return the outputs for one sample, both by name."""
        ...

    def described(self) -> tuple[dict[str, tuple[int | str, ...]], dict[str, tuple[int | str, ...]]]:
        """Return the shapes of inputs and outputs by name; a dimension that varies has a name."""
        ...


@dataclass(frozen=True)
class Agreement:
    """The manifest's fields on inputs, outputs, parity and accuracy, and the golden files."""

    fields: dict[str, Any]
    contents: dict[str, Content]


def compare(
    source: ModelSource,
    program: torch.export.ExportedProgram,
    plan: ShapePlan,
    artifact: Runnable,
    tolerances: Callable[[Arrays, Arrays], Mapping[str, float]],
    on_progress: Progress,
) -> Agreement:
    """Run the artifact and torch on the example inputs and the checks, and say how they compare.

    ``tolerances`` maps (golden inputs, golden outputs) to what a device may deviate, by output. Raises ExportError.
    """
    golden_in = example_arrays(source)
    on_progress("compute golden outputs")
    golden = artifact.run(golden_in)
    check_finite(golden, "the exported model on its example inputs", OVERFLOW)
    reference = TorchReference(source, output_names(program))
    inputs, outputs = artifact.described()
    on_progress("compare with torch")
    parity = parity_figures(reference, artifact, source, plan, golden_in, inputs)
    on_progress("measure accuracy")
    fields = {
        "inputs": tensor_entries("input", artifact.given(golden_in), inputs, {}),
        "outputs": tensor_entries("output", golden, outputs, tolerances(golden_in, golden)),
        "parity": parity,
        "accuracy": measure_accuracy(source, program, artifact),
        "weights_licence": source.weights_licence,
    }
    return Agreement(fields, golden_files(artifact.given(golden_in), golden, reference.run(golden_in)))


def example_arrays(source: ModelSource) -> Arrays:
    """Return the example inputs as arrays by name."""
    return {name: np.ascontiguousarray(value.detach().numpy()) for name, value in source.inputs.items()}


def notes_on(source: ModelSource) -> tuple[str, ...]:
    """Return what a reader of the parity must know."""
    notes = () if source.checks is not None else (ON_EXAMPLES,)
    alone = source.recipe_digest and source.reference is None
    return (*notes, AGAINST_ITSELF) if alone else notes


def parity_figures(
    reference: Reference,
    artifact: Runnable,
    source: ModelSource,
    plan: ShapePlan,
    golden_in: Arrays,
    shapes: Shapes,
) -> dict[str, float]:
    """Return the manifest's parity: on the source's checks, on the example inputs, and at the limits of the shapes.

    ``shapes`` are those of the inputs. Raises ExportError when outputs differ in shape or hold NaN.
    """
    samples = read_samples(source, "checks", shapes) or [golden_in]
    figures = measure_parity(reference.run, artifact.run, samples)
    figures |= {f"golden_{key}": value for key, value in _compared(reference, artifact, golden_in).items()}
    if plan.corners:
        corners = [_cornered(source, shape) for shape in plan.corners]
        found = [_compared(reference, artifact, each).get("sqnr_db", 0.0) for each in corners]
        figures["corner_shapes_sqnr_db"] = min(found)
    return figures


def _compared(reference: Reference, artifact: Runnable, inputs: Arrays) -> dict[str, float]:
    figures = measure_parity(reference.run, artifact.run, [inputs])
    return {key: figures[key] for key in ("sqnr_db", "max_abs") if key in figures}


def _cornered(source: ModelSource, shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    return {name: resized(value, shapes.get(name, tuple(value.shape))).numpy() for name, value in source.inputs.items()}
