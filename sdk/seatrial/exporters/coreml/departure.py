"""Where a package departs from torch: each operation beside the node of the torch program that it was made of.

coremltools keeps the names of torch.export's nodes, so that most operations have their node; the casts, the parts of an
operation that it writes with several, and what a trace made have none. Two figures for each that has one, in dB of
signal to noise on the example inputs:

- ``own_db``: when it is fed torch's values: what it adds, with those before it that have no node.
- ``after_db``: in the package as it runs: its own noise and all that came before it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import UserError
from seatrial_targets.profile import TargetProfile

from ...verify.coreml import library
from ...verify.coreml.program import Function, Operation, Output
from ..agreement import example_arrays
from ..parity import ratio_db
from ..program import captured, identity
from ..shapes import plan_shapes
from .artifact import PackageArtifact
from .features import Arrays, Feature, input_features
from .quantize import quantized
from .rewriting import rewritten

if TYPE_CHECKING:
    import torch

    from seatrial_runner.bundle import Bundle

    from ...source import ModelSource
    from .. import Progress

LAYERS_SCHEMA = "seatrial.layers/1"
# Below this an output departs. Rounding to float16 in every operation costs real networks 41 to 60 dB.
LIMITS_DB = {"fp32": 80.0}
LIMIT_DB = 40.0
_SUFFIXES = ("_cast_fp16", "_cast_fp32")

Values = dict[str, "torch.Tensor"]


def departures(bundle: Bundle, source: ModelSource, on_progress: Progress) -> dict[str, Any]:
    """Return the figures of each operation of a Core ML bundle that has its node in torch, in the program's order.

    ``source`` is what the bundle was exported from. ``departs`` is the first operation below ``limit_db``, None when
    all outputs are above it. Raises UserError when the bundle is of another model, and UnsupportedOpError when the
    package can't be executed here.
    """
    target = TargetProfile.model_validate(bundle.manifest.profile)
    features, plan = input_features(source, target), plan_shapes(source, target)
    made = quantized(source, target, on_progress)
    on_progress("capture the model")
    program = captured(made, plan, None)
    if identity(made, program, plan) != bundle.manifest.model_digest:
        raise UserError(f"{bundle.path} was made of another model, or of another version of it; export it again")
    on_progress("load coremltools")
    library.load()
    known = rewritten(program).program
    folder, examples = bundle.path / bundle.manifest.artifact, example_arrays(source)
    artifact = PackageArtifact(folder, features, plan, examples, {})
    return compared(artifact, known, features, examples, LIMITS_DB.get(target.precision, LIMIT_DB), on_progress)


def compared(
    artifact: PackageArtifact,
    program: torch.export.ExportedProgram,
    features: tuple[Feature, ...],
    examples: Arrays,
    limit_db: float,
    on_progress: Progress,
) -> dict[str, Any]:
    """Return what `departures` does, for a package and the program that it was converted from."""
    on_progress("run torch")
    values = _torch_values(program, features, examples)
    on_progress("run the package")
    found = _Comparison(_nodes(artifact.session.package.function, program), values)
    artifact.session.run(artifact.given(examples), observer=found.as_it_runs)
    artifact.session.run(artifact.given(examples), observer=found.fed_by_torch)
    return _record(artifact.session.package.function, found, limit_db)


def _torch_values(
    program: torch.export.ExportedProgram, features: tuple[Feature, ...], examples: Mapping[str, Any]
) -> Values:
    """Run the program that was converted; return the value of each node by its name."""
    import torch

    class Recorder(torch.fx.Interpreter):  # type: ignore[misc]
        def __init__(self, module: Any) -> None:
            super().__init__(module)
            self.found: Values = {}

        def run_node(self, node: Any) -> Any:
            value = super().run_node(node)
            first = value[0] if isinstance(value, tuple | list) and value else value
            if node.op == "call_function" and isinstance(first, torch.Tensor):
                self.found[node.name] = first.detach().clone()
            return value

    module = program.module()
    # A model with states writes into its buffers, which are the user's.
    recorder = Recorder(copy.deepcopy(module) if program.graph_signature.buffers_to_mutate else module)
    inputs = [torch.from_numpy(np.array(each.seen(examples[each.name]))) for each in features]
    with torch.no_grad():
        recorder.run(*inputs, enable_io_processing=False)
    return recorder.found


def _nodes(function: Function, program: torch.export.ExportedProgram) -> dict[str, str]:
    """Output of the package -> its node: an output's name is the user's, not the node's."""
    nodes = program.graph_signature.user_outputs
    results = function.block.results
    return dict(zip(results, map(str, nodes), strict=True)) if len(results) == len(nodes) else {}


class _Comparison:
    """Observers of an evaluation that hold each value against torch's."""

    def __init__(self, outputs: Mapping[str, str], values: Values) -> None:
        self._outputs, self._values = outputs, values
        self.after: dict[str, float] = {}
        self.own: dict[str, float] = {}

    def as_it_runs(self, _operation: Operation, output: Output, _exact: Any, stored: torch.Tensor) -> None:
        """Compare; let the evaluation go on with its own value."""
        value = self._of_torch(output, stored)
        if value is not None:
            self.after[output.name] = _db(value, stored)

    def fed_by_torch(self, _operation: Operation, output: Output, _exact: Any, stored: torch.Tensor) -> Any:
        """Compare; let the evaluation go on with torch's value."""
        value = self._of_torch(output, stored)
        if value is None:
            return None
        self.own[output.name] = _db(value, stored)
        return value.to(stored.dtype)

    def _of_torch(self, output: Output, stored: torch.Tensor) -> torch.Tensor | None:
        name = self._outputs.get(output.name, output.name)
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)
        value = self._values.get(name)
        return value if value is not None and value.shape == stored.shape else None


def _db(value: torch.Tensor, stored: torch.Tensor) -> float:
    wide = value.double()
    return ratio_db(float((wide**2).sum()), float(((wide - stored.double()) ** 2).sum().nan_to_num(1e300)))


def _record(function: Function, compared: _Comparison, limit: float) -> dict[str, Any]:
    runs = [each for each in function.block.walk() if each.type != "const" and not each.type.startswith("constexpr_")]
    layers: list[dict[str, Any]] = [
        {"name": output.name, "op": each.type, "own_db": compared.own[output.name], "after_db": after, "gain_db": None}
        for each in runs
        for output in each.outputs
        if (after := compared.after.get(output.name)) is not None and output.name in compared.own
    ]
    far = [each for each in layers if each["after_db"] < limit]
    ends = [each for each in layers if each["name"] in function.block.results]
    departed = any(each in far for each in ends) if ends else bool(far)
    return {
        "schema": LAYERS_SCHEMA,
        "layers": layers,
        "operations": len(runs),
        "limit_db": limit,
        # An operation that is far off while the outputs are not was paired with the wrong node.
        "departs": far[0] if departed else None,
    }
