"""The files that trtexec writes: times of each query, times and types of each layer, outputs. Read without trust.

They are JSON by intention only (samples/common/sampleReporting.cpp in NVIDIA/TensorRT): names of layers and tensors are
not escaped, infinite numbers are written as C++ writes them. So the records are taken apart by their fixed words.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from seatrial_targets.errors import AgentError

from ..output import printable

MOST_QUERIES, MOST_LAYERS, MOST_TENSORS = 1_000_000, 100_000, 10_000
_NUMBER = rb"[-+0-9.eE]+|-?inf|-?nan"
_QUERY = re.compile(rb'"(startComputeMs|h2dMs|computeMs|d2hMs|latencyMs)" : (' + _NUMBER + rb")(?=[ ,\n])")
_WANTED = ("startComputeMs", "h2dMs", "computeMs", "d2hMs", "latencyMs")
# One record each, from behind `{ "name" : "` to the next; names may hold anything.
_LAYER = re.compile(
    rb'(?P<name>.*)", "timeMs" : (?:' + _NUMBER + rb'), "averageMs" : (?P<average>' + _NUMBER
    + rb')(?:, "medianMs" : (?P<median>' + _NUMBER + rb'))?, "percentage" : (?:' + _NUMBER + rb") \}[\s\]]*",
    re.DOTALL,
)  # fmt: skip
_OUTPUT = re.compile(
    rb'(?P<name>.*)"\n\s*, "dimensions" : "[^"\n]*"\n\s*, "values" : \[ (?P<values>[^\]"]*) \]\s*\}[\s\]]*', re.DOTALL
)
_RECORD = re.compile(rb'(?:^|\n)(?:  |, )\{ "name" : "')


@dataclass(frozen=True)
class Times:
    """The queries after the warm-up, in ns, all of one length; ``latency_ns`` is the sum of what was switched on."""

    latency_ns: tuple[int, ...]
    compute_ns: tuple[int, ...]
    h2d_ns: tuple[int, ...]
    d2h_ns: tuple[int, ...]


@dataclass(frozen=True)
class LayerTime:
    """One layer of the profile, in ns per inference; ``median_ns`` is None before TensorRT 8.4."""

    name: str
    average_ns: int
    median_ns: int | None


@dataclass(frozen=True)
class Layer:
    """One layer of the engine: its type, and the type of what it reads ("int8", "fp16", "fp32", ... or "")."""

    name: str
    kind: str
    precision: str


def parse_times(raw: bytes, warmup_ms: float = 0.0) -> Times:
    """Return the times of ``--exportTimes``. Raises AgentError when there are none, or one that can't be.

    Queries that began within ``warmup_ms`` are left out: before 8.5, trtexec exports them, too.
    """
    rows = [row for row in _queries(raw) if row["startComputeMs"] >= warmup_ms]
    if not rows:
        raise AgentError("trtexec exported no times: it ended before it had measured, or its disk was full")
    return Times(*(tuple(_ns(row, key) for row in rows) for key in ("latencyMs", "computeMs", "h2dMs", "d2hMs")))


def parse_profile(raw: bytes) -> tuple[LayerTime, ...]:
    """Return the layers of ``--exportProfile`` in the order in which they run. What makes no sense is left out."""
    found = []
    for record in _RECORD.split(raw)[1 : MOST_LAYERS + 1]:
        match = _LAYER.fullmatch(record)
        average, median = (_milliseconds(match[key]) for key in ("average", "median")) if match else (None, None)
        if match and average is not None:
            found.append(LayerTime(_name(match["name"]), average, median))
    return tuple(found)


def parse_layers(raw: bytes) -> tuple[Layer, ...]:
    """Return the layers of ``--exportLayerInfo`` (keys Layers, and Bindings or "I/O Tensors"), types where told.

    An engine that was built without detailed verbosity tells names only; what can't be read at all gives nothing.
    """
    try:
        document = json.loads(raw.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        return ()
    layers = document.get("Layers") if isinstance(document, dict) else None
    return tuple(map(_layer, layers[:MOST_LAYERS])) if isinstance(layers, list) else ()


def precisions(layers: Iterable[Layer]) -> dict[str, int]:
    """Return how many layers that multiply (convolutions, matrix products) read which type; the rest is not counted."""
    return dict(sorted(Counter(layer.precision or "unknown" for layer in layers if multiplies(layer)).items()))


def parse_outputs(raw: bytes, dtypes: Mapping[str, str]) -> dict[str, npt.NDArray[Any]]:
    """Return the values of ``--exportOutput``, each flat and in the dtype that ``dtypes`` has for its name.

    Decimal text of 6 digits: exact for integers, to a relative 5e-7 for others. Tensors that ``dtypes`` does not name
    are left out. Raises AgentError for a value that is not of its dtype.
    """
    found = {}
    for record in _RECORD.split(raw)[1 : MOST_TENSORS + 1]:
        match = _OUTPUT.fullmatch(record)
        name = match["name"].decode("utf-8", "replace") if match else ""
        if match and name in dtypes:
            found[name] = _values(name, match["values"], dtypes[name])
    return found


def _queries(raw: bytes) -> Iterator[dict[str, float]]:
    for count, line in enumerate(raw.split(b"}")):
        row = {key.decode(): float(value) for key, value in _QUERY.findall(line) if _is_number(value)}
        if set(row) == set(_WANTED) and count < MOST_QUERIES:
            yield row
        elif row:
            raise AgentError(f"trtexec's times can't be read at query {count + 1}: {printable(repr(line[:120]))}")


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _ns(row: Mapping[str, float], key: str) -> int:
    value = row[key]
    if not math.isfinite(value) or not 0 <= value < 1e9:
        raise AgentError(f"trtexec measured {value} ms as {key}: the GPU's events did not work")
    return round(value * 1e6)


def _milliseconds(text: bytes | None) -> int | None:
    if text is None or not _is_number(text):
        return None
    value = float(text)
    return round(value * 1e6) if math.isfinite(value) and 0 <= value < 1e9 else None


def _name(raw: bytes) -> str:
    return printable(raw.decode("utf-8", "replace"))[:1000]


def _layer(entry: Any) -> Layer:
    if not isinstance(entry, dict):
        return Layer(_name(str(entry).encode()), "", "")
    kinds = [str(entry.get(key, "")) for key in ("ParameterType", "LayerType")]
    kind = next((kind for kind in kinds if kind), "")
    return Layer(_name(str(entry.get("Name", "")).encode()), _name(kind.encode()), _precision(entry))


# "Thirty-two wide channel vectorized row major Int8 format" (8.x), "Int8", "Half", "Row major linear FP32" (10, 11)
_TYPES = {
    "int8": re.compile(r"\bint8\b", re.IGNORECASE),
    "fp8": re.compile(r"\b(fp8|e4m3)", re.IGNORECASE),
    "int4": re.compile(r"\bint4\b", re.IGNORECASE),
    "bf16": re.compile(r"\b(bf16|bfloat16)\b", re.IGNORECASE),
    "fp16": re.compile(r"\b(fp16|half)\b", re.IGNORECASE),
    "fp32": re.compile(r"\b(fp32|float)\b", re.IGNORECASE),
}


def _precision(entry: Mapping[str, Any]) -> str:
    """The type of the first input that is data; an integer convolution reads Int8, whatever it writes."""
    inputs = entry.get("Inputs")
    for tensor in inputs if isinstance(inputs, list) else []:
        form = str(tensor.get("Format/Datatype", "")) if isinstance(tensor, dict) else ""
        for name, pattern in _TYPES.items():
            if pattern.search(form):
                return name
    return ""


def multiplies(layer: Layer) -> bool:
    """Return whether a layer is a convolution or a matrix product: those whose type decides what INT8 brings."""
    words = layer.kind.lower()
    return any(word in words for word in ("conv", "gemm", "matrixmultiply", "matmul", "fullyconnected", "correlation"))


def _values(name: str, raw: bytes, dtype: str) -> npt.NDArray[Any]:
    wanted = np.dtype(dtype)
    wide = np.float64 if wanted.kind == "f" else np.uint64 if wanted == np.uint64 else np.int64
    with warnings.catch_warnings(), np.errstate(over="ignore"):
        warnings.simplefilter("error")  # numpy only warns of text that is no number
        try:
            values = np.fromstring(raw, dtype=wide, sep=",") if raw.strip() else np.empty(0, wide)
            return values.astype(wanted) if wanted.kind in "fb" else _narrowed(values, wanted)
        except (ValueError, OverflowError, DeprecationWarning) as error:
            what = printable(str(error))[:200]
            raise AgentError(f"trtexec's output {printable(name)!r} holds what is no {dtype}: {what}") from error


def _narrowed(values: npt.NDArray[Any], wanted: np.dtype[Any]) -> npt.NDArray[Any]:
    limits = np.iinfo(wanted)
    if values.size and (values.min() < limits.min or values.max() > limits.max):
        raise OverflowError(f"a value beyond {limits.min} to {limits.max}")
    return values.astype(wanted)
