"""How a package agrees with torch: golden files as an app exchanges them, parity, accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import UnsupportedOpError

from ..accuracy import measure_accuracy
from ..agreement import Agreement, example_arrays, notes_on, parity_figures
from ..golden import golden_files, tensor_entries
from ..parity import measure_parity, relative_l2, sqnr_db
from ..tolerance import tolerance
from .artifact import PackageArtifact
from .features import Arrays
from .reference import AppReference

if TYPE_CHECKING:
    import torch

    from seatrial_targets.profile import TargetProfile

    from ...source import ModelSource
    from .. import Progress
    from ..shapes import ShapePlan

SEQUENCE = 3  # predictions in a row, for models with states


def agree(
    source: ModelSource,
    program: torch.export.ExportedProgram,
    plan: ShapePlan,
    target: TargetProfile,
    reference: AppReference,
    artifact: PackageArtifact,
    on_progress: Progress,
) -> Agreement:
    """Run package and torch on the example inputs and the checks, and say how they compare.

    When the evaluator lacks an operation, the golden outputs are torch's and nothing is claimed: ``parity_unchecked``
    says why. Raises ExportError, and EvaluationError when the package is not what it declares.
    """
    examples = example_arrays(source)
    golden_in = artifact.given(examples)
    on_progress("compute golden outputs")
    answers = reference.run(examples)
    try:
        golden = artifact.observed(golden_in)
    except UnsupportedOpError as error:
        return _unchecked(str(error), source, target, artifact, golden_in, answers)
    artifact.run_encoded(golden_in)  # raises, with the operation, when an output is spoilt
    on_progress("compare with torch")
    parity = parity_figures(reference, artifact, source, plan, examples, artifact.torch_shapes())
    parity |= _each_output(answers, artifact.as_torch(golden))
    if artifact.session.evaluator.states():
        parity["sequence_sqnr_db"] = _sequence(reference, artifact, examples)
    on_progress("measure accuracy")
    accuracy = measure_accuracy(source, program, artifact)
    widest = _spread(artifact, golden_in, golden)
    tolerances = {name: tolerance(target.precision, widest[name]) for name in golden}
    notes = (*notes_on(source), *(f"{each}; the outputs are finite" for each in artifact.findings.overflows))
    return _agreement(source, artifact, golden_in, golden, answers, tolerances, parity, accuracy, "", notes)


def _each_output(answers: Arrays, found: Arrays) -> dict[str, float]:
    """The SQNR of each output on the example inputs; nothing for a single one, which has it already."""
    floats = [name for name, value in answers.items() if value.dtype.kind == "f"]
    if len(floats) < 2:
        return {}
    return {f"golden_sqnr_db.{name}": sqnr_db(answers[name], found[name]) for name in floats}


def _unchecked(
    why: str, source: ModelSource, target: TargetProfile, artifact: PackageArtifact, golden_in: Arrays, answers: Arrays
) -> Agreement:
    pairs = zip(artifact.session.outputs, answers.values(), strict=True)
    golden = {each.name: np.ascontiguousarray(value.astype(each.dtype)) for each, value in pairs}
    tolerances = {name: tolerance(target.precision, 0.0) for name in golden}
    return _agreement(source, artifact, golden_in, golden, answers, tolerances, {}, {}, why, ())


def _agreement(
    source: ModelSource,
    artifact: PackageArtifact,
    golden_in: Arrays,
    golden: Arrays,
    answers: Arrays,
    tolerances: dict[str, float],
    parity: dict[str, float],
    accuracy: dict[str, float],
    unchecked: str,
    notes: tuple[str, ...],
) -> Agreement:
    inputs, outputs = artifact.described()
    fields: dict[str, Any] = {
        "inputs": tensor_entries("input", golden_in, inputs, {}),
        "outputs": tensor_entries("output", golden, outputs, tolerances),
        "parity": parity,
        "parity_unchecked": unchecked,
        "accuracy": accuracy,
        "weights_licence": source.weights_licence,
        "notes": (*artifact.renamed(), *notes),
    }
    return Agreement(fields, golden_files(golden_in, golden, answers))


def _spread(artifact: PackageArtifact, golden_in: Arrays, golden: Arrays) -> dict[str, float]:
    """How far rounding between operations moves each output: a device that rounds elsewhere may be as far."""
    session = artifact.session
    exact = artifact.exact().run(golden_in)
    found = {each.name: 0.0 for each in session.outputs}
    for name, value in golden.items():
        if value.dtype.kind == "f":
            found[name] = relative_l2(exact[name], value)
    return found


def _sequence(reference: AppReference, artifact: PackageArtifact, examples: Arrays) -> float:
    """The worst SQNR of a few predictions in a row, each beginning with the states that the one before has left."""
    states, found = artifact.session.evaluator.states(), []
    try:
        for _ in range(SEQUENCE):
            figures = measure_parity(reference.step, lambda inputs: artifact.run(inputs, states), [examples])
            found.append(figures.get("sqnr_db", 0.0))
    finally:
        reference.reset()
    return min(found)
