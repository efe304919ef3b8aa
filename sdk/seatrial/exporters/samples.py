"""Samples for calibration and checks: read from the user's iterables, named, checked, split to the captured batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seatrial_targets.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..source import ModelSource

Arrays = dict[str, "NDArray[Any]"]
Shapes = Mapping[str, tuple[int | str, ...]]


def read_samples(source: ModelSource, which: str, shapes: Shapes) -> list[Arrays]:
    """Return the samples of ``which`` ("calibration" or "checks") as arrays by input name.

    ``shapes`` are the exported model's; a batch that is a multiple of the model's is split. Raises ModelError that
    names the sample's index for: no samples, wrong names, dtype, shape, NaN. Returns [] when the source has none.
    """
    given = getattr(source, which)
    if given is None:
        return []
    found = [part for index, raw in _raised(given, which) for part in _one(source, raw, f"{which}[{index}]", shapes)]
    if not found:
        raise ModelError(
            f"{which} is empty; give at least one sample (a generator can be used up only once: "
            "give a list, or a function that returns a new generator)"
        )
    return found


def _raised(given: Any, which: str) -> Iterator[tuple[int, Any]]:
    from ..factory import own_trace

    index = -1
    try:
        iterable = given() if callable(given) else given
        if not isinstance(iterable, Iterable):
            raise ModelError(
                f"{which} is a {type(iterable).__name__}; give an iterable, or a function that returns one"
            )
        for index, raw in enumerate(iterable):
            yield index, raw
    except ModelError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        raise ModelError(f"{which}[{index + 1}]: the iterable raised {text}\n{own_trace(error)}") from error


def _one(source: ModelSource, raw: Any, where: str, shapes: Shapes) -> list[Arrays]:
    values = _named(source, raw, where)
    arrays = {name: _array(source, name, values[name], where) for name in source.inputs}
    return [_fitting(part, where, shapes) for part in _split(arrays, shapes)]


def _named(source: ModelSource, raw: Any, where: str) -> dict[str, Any]:
    names = list(source.inputs)
    if isinstance(raw, Mapping):
        for name in raw:
            if name not in source.inputs:
                raise ModelError(f"{where}: unknown input {name!r}{did_you_mean(str(name), names)}")
        values = dict(raw)
    else:
        sequence = list(raw) if isinstance(raw, list | tuple) else [raw]
        values = dict(zip(names, sequence, strict=False))
        if len(sequence) > len(names):
            raise ModelError(
                f"{where}: has {len(sequence)} tensors, the model takes {len(names)} ({', '.join(names)}); "
                "give the inputs alone, without labels"
            )
    missing = [name for name in names if name not in values]
    if missing:
        raise ModelError(f"{where}: lacks input {missing[0]!r}; each sample needs: {', '.join(names)}")
    return values


def _array(source: ModelSource, name: str, value: Any, where: str) -> NDArray[Any]:
    wanted = source.inputs[name].numpy().dtype
    try:
        array = np.asarray(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{where}: {name!r} is no tensor or array: {error}") from error
    if array.dtype != wanted:
        raise ModelError(f"{where}: {name!r} is {array.dtype}, the model's example input is {wanted}; convert it")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ModelError(f"{where}: {name!r} holds NaN or infinity; leave such samples out")
    return np.ascontiguousarray(array)


def _split(arrays: Arrays, shapes: Shapes) -> Iterator[Arrays]:
    """Cut a batch of 8 for a model of batch 1 into 8 samples; anything else is left for _fitting to judge."""
    factors = {_factor(array.shape, shapes[name]) for name, array in arrays.items()}
    count = factors.pop() if len(factors) == 1 else 1
    for i in range(count):
        yield {name: array[_part(array.shape, count, i)] for name, array in arrays.items()}


def _factor(found: tuple[int, ...], wanted: tuple[int | str, ...]) -> int:
    if not found or len(found) != len(wanted) or not isinstance(wanted[0], int) or found[0] % wanted[0]:
        return 1
    return found[0] // wanted[0]


def _part(shape: tuple[int, ...], count: int, index: int) -> Any:
    if count == 1:
        return ...
    size = shape[0] // count
    return slice(index * size, (index + 1) * size)


def _fitting(arrays: Arrays, where: str, shapes: Shapes) -> Arrays:
    for name, array in arrays.items():
        wanted = shapes[name]
        fits = len(wanted) == array.ndim and all(
            isinstance(n, str) or n == found for n, found in zip(wanted, array.shape, strict=True)
        )
        if not fits:
            raise ModelError(f"{where}: {name!r} has shape {list(array.shape)}, the model takes {list(wanted)}")
    return arrays
