"""From a captured program to an ML program: through torch.export, or through a trace where coremltools needs one."""

from __future__ import annotations

import re
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ExportError

from ...source import evaluating
from ...verify.coreml import library
from ..capture import keep_error, output_names, see_log
from ..noise import quiet as torch_quiet
from .deployment import deployment_target
from .features import Feature, input_types
from .precision import Kept, modules_of
from .progress import ProgressStream
from .rewriting import Rewritten
from .storage import stored
from .unsupported import explained

if TYPE_CHECKING:
    import torch

    from seatrial_targets.profile import TargetProfile

    from ...source import ModelSource
    from .. import Progress


@dataclass(frozen=True)
class Converted:
    """A converted model (coremltools' MLModel), the route that it took, what coremltools warned of, and the operations
    that were kept in float32."""

    model: Any
    route: str
    notes: tuple[str, ...]
    kept: tuple[str, ...] = ()


def convert(
    source: ModelSource,
    known: Rewritten,
    features: tuple[Feature, ...],
    target: TargetProfile,
    log: Path | None,
    on_progress: Progress,
    folder: Path,
) -> Converted:
    """Convert the captured program, or, if coremltools can't read that, a trace of its module, into ``folder``.

    A trace is only taken of what torch.export has captured as well, so that it hides no branch. Raises ExportError
    that names the operator and its place in the user's code.
    """
    ct = library.load()

    def converted(model: Any) -> tuple[Any, Kept]:
        # coremltools changes what it is given, so that each attempt gets its own.
        package = str(folder / f"{type(model).__name__}.mlpackage")
        kept = Kept(target.coreml.keep_float32, modules_of(known.program, output_names(known.original)))
        arguments = _arguments(known.original, source, features, target, ct) | _precision(target, kept, ct)
        made = ct.convert(model, **arguments, package_dir=package)
        kept.check()
        return made, kept

    with silence(on_progress) as heard:
        try:
            model, kept = converted(known.program)
            model = _finished(model, target, on_progress)
            return Converted(model, "export", (*_says(known), *library.condensed(heard)), kept.names)
        except ExportError:
            raise
        except Exception as error:
            first = _released(error)
        if known.program.graph_signature.buffers_to_mutate:  # a trace has no states
            keep_error(first, log)
            raise ExportError(f"{explained(first, first, known)}{see_log(log)}") from first
        on_progress("convert again, from a trace")
        try:
            model, kept = converted(_traced(source))
        except ExportError:
            raise
        except Exception as error:
            keep_error(first, log, f"\nand from a trace:\n{error}\n")
            raise ExportError(f"{explained(first, _released(error), known)}{see_log(log)}") from first
        model = _finished(model, target, on_progress)
        return Converted(model, "trace", (_why_traced(first), *library.condensed(heard)), kept.names)


def _says(known: Rewritten) -> tuple[str, ...]:
    changed = ", ".join(known.changed)
    return (f"written with other operators for coremltools: {changed}",) if changed else ()


def _finished(model: Any, target: TargetProfile, on_progress: Progress) -> Any:
    if target.weights is None:
        return model
    on_progress("compress the weights")
    return stored(model, target.weights)


def _why_traced(first: BaseException) -> str:
    return f"converted from a trace, since coremltools can't convert the exported program: {_short(first)}"


def _arguments(
    program: torch.export.ExportedProgram,
    source: ModelSource,
    features: tuple[Feature, ...],
    target: TargetProfile,
    ct: Any,
) -> dict[str, Any]:
    outputs = [ct.TensorType(name=name, dtype=_output_dtype(value, target)) for name, value in _outputs(program)]
    labels = {"classifier_config": ct.ClassifierConfig(list(source.class_labels))} if source.class_labels else {}
    return {
        **labels,
        "inputs": input_types(features, source, target, ct),
        "outputs": outputs,
        "convert_to": "mlprogram",
        "minimum_deployment_target": deployment_target(target, ct),
        "skip_model_load": True,
    }


def _precision(target: TargetProfile, kept: Kept, ct: Any) -> dict[str, Any]:
    if target.precision == "fp32":
        return {"compute_precision": ct.precision.FLOAT32}
    if not target.coreml.keep_float32:
        return {"compute_precision": ct.precision.FLOAT16}
    return {"compute_precision": ct.transform.FP16ComputePrecision(op_selector=kept.is_float16)}


def _outputs(program: torch.export.ExportedProgram) -> list[tuple[str, Any]]:
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    return [
        (name, values[node])
        for name, node in zip(output_names(program), program.graph_signature.user_outputs, strict=True)
    ]


def _output_dtype(value: Any, target: TargetProfile) -> Any:
    # Integers keep what coremltools infers for them.
    return np.dtype(target.coreml.io).type if value is not None and value.is_floating_point() else None


def _traced(source: ModelSource) -> Any:
    import torch

    class Flat(torch.nn.Module):  # type: ignore[misc]
        """The user's module with positional inputs and a flat tuple of outputs, which is what a trace can hold."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = source.module

        def forward(self, *args: torch.Tensor) -> Any:
            named = dict(zip(source.inputs, args, strict=True))
            value = self.inner(*args) if source.positional else self.inner(**named)
            leaves = tuple(torch.utils._pytree.tree_leaves(value))
            return leaves if len(leaves) > 1 else leaves[0]

    with torch.no_grad(), evaluating(source.module), torch_quiet(), warnings.catch_warnings():
        # A trace warns of each size that it holds as a constant; torch.export has shown which ones vary.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.trace(Flat().eval(), tuple(source.inputs.values()), strict=False, check_trace=False)


@contextmanager
def silence(on_progress: Callable[[str], None]) -> Iterator[list[str]]:
    """Context: coremltools' bars become progress, its warnings a list, and the rest that it prints goes to stderr."""
    stream = ProgressStream(on_progress, sys.stderr)
    with library.quiet() as heard, torch_quiet(), redirect_stderr(stream), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*(overflow|invalid value|divide by zero) encountered", RuntimeWarning)
        warnings.filterwarnings("ignore", "Implicitly cleaning up <TemporaryDirectory", ResourceWarning)
        warnings.filterwarnings("ignore", r"(Input|Output), .* has been renamed", UserWarning)  # the manifest has it
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        yield heard


def _released(error: Exception) -> Exception:
    """Return the error without the local variables of its frames, which hold temporary folders and the weights."""
    traceback.clear_frames(error.__traceback__)
    return error


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return re.sub(r"\s+", " ", lines[0] if lines else type(error).__name__)[:200]
