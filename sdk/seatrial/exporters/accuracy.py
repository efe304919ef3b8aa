"""The user's own metric, on the torch model and on the exported artifact, through one function."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ModelError, SeatrialError

from ..source import Predict
from .blame import user_frame

if TYPE_CHECKING:
    import torch

    from ..source import ModelSource
    from .agreement import Runnable


def measure_accuracy(source: ModelSource, program: torch.export.ExportedProgram, session: Runnable) -> dict[str, float]:
    """Return each metric of the artifact under its name and that of torch under `<name>_torch`; {} without evaluate.

    Raises ModelError, with the user's line, when evaluate fails or returns something else than numbers by name.
    """
    if source.evaluate is None:
        return {}
    reference = evaluate_torch(source.original())
    found = _evaluated(source, _artifact_predict(source, program, session))
    return {**found, **{f"{name}_torch": value for name, value in reference.items()}}


def evaluate_torch(source: ModelSource) -> dict[str, float]:
    """Return the user's metrics of the torch module; {} without evaluate. Raises ModelError as above."""
    return _evaluated(source, _torch_predict(source))


def evaluated_with(source: ModelSource, answer: Callable[[Mapping[str, Any]], Any]) -> dict[str, float]:
    """Return the user's metrics of whatever ``answer`` gives for inputs by name. Raises ModelError as above."""

    def predict(*args: Any, **kwargs: Any) -> Any:
        return answer(_bound(source, args, kwargs))

    return _evaluated(source, predict)


def _torch_predict(source: ModelSource) -> Predict:
    def predict(*args: Any, **kwargs: Any) -> Any:
        return source.call(_bound(source, args, kwargs))

    return predict


def _artifact_predict(source: ModelSource, program: torch.export.ExportedProgram, session: Runnable) -> Predict:
    import torch

    def predict(*args: Any, **kwargs: Any) -> Any:
        inputs = {name: np.ascontiguousarray(value) for name, value in _bound(source, args, kwargs).items()}
        outputs = [torch.from_numpy(value) for value in session.run(inputs).values()]
        return torch.utils._pytree.tree_unflatten(outputs, program.call_spec.out_spec)

    return predict


def _bound(source: ModelSource, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    names = list(source.inputs)
    values = {**dict(zip(names, args, strict=False)), **kwargs}
    if len(args) > len(names) or sorted(values) != sorted(names):
        raise ModelError(f"evaluate called predict with other inputs than the model's: {', '.join(names)}")
    return {name: values[name] for name in names}


def _evaluated(source: ModelSource, predict: Predict) -> dict[str, float]:
    if source.evaluate is None:
        return {}
    try:
        found = source.evaluate(predict)
    except SeatrialError:
        raise
    except Exception as error:
        raise ModelError(
            f"{user_frame(error, source.module)}: evaluate raised {type(error).__name__}: {error}"
        ) from error
    return _numbers(found)


def _numbers(found: Any) -> dict[str, float]:
    if not isinstance(found, Mapping):
        raise ModelError(f"evaluate returned a {type(found).__name__}; return a dict of numbers by name")
    for name, value in found.items():
        try:
            finite = math.isfinite(float(value))
        except (TypeError, ValueError) as error:
            raise ModelError(f"evaluate returned {name!r}: {value!r}, which is no number") from error
        if not finite:
            raise ModelError(f"evaluate returned {name!r}: {value}; a metric must be finite")
    return {str(name): float(value) for name, value in found.items()}
