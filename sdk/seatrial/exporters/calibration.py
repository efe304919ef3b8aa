"""Ranges of activations for static quantization: minmax, percentile or entropy, from the model's own data.

Values are folded into ranges and histograms sample by sample, so that memory does not grow with the number of samples;
onnxruntime's own histogram calibrators keep every activation of every sample. Its entropy method also looks at 128
bins by default, where no threshold below the maximum can win.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .host import HostSession
from .samples import Arrays

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

    from seatrial_targets.profile import Quantization

Ranges = dict[str, tuple[float, float]]
LEVELS = 255  # of an 8-bit activation
SHRINKS = np.linspace(1.0, 0.3, 57)  # parts of the full range that entropy calibration tries


def calibrate(model: onnx.ModelProto, samples: Sequence[Arrays], how: Quantization) -> Ranges:
    """Return (low, high) for every float tensor of ``model`` that its nodes exchange, over ``samples``."""
    names = _float_tensors(model)
    session = HostSession(_with_outputs(model, names), optimization="none")
    extremes = _extremes(session, names, samples)
    if how.calibration == "minmax":
        return extremes
    histograms = _histograms(session, extremes, samples, how.histogram_bins)
    if how.calibration == "percentile":
        return {name: by_percentile(histograms[name], extremes[name], how.percentile) for name in names}
    return {name: by_entropy(histograms[name], extremes[name]) for name in names}


def by_percentile(counts: NDArray[np.int64], extremes: tuple[float, float], percentile: float) -> tuple[float, float]:
    """Return the range that leaves out (100 - percentile) % of the values, half of it on each side.

    ``counts``: histogram of equal bins over ``extremes``. The range never grows and always holds 0.
    """
    total = np.cumsum(counts)
    if total[-1] == 0:
        return extremes
    edges = np.linspace(*extremes, len(counts) + 1)
    tail = (100.0 - percentile) / 200.0 * total[-1]
    low = edges[int(np.searchsorted(total, tail, side="right"))]
    high = edges[int(np.searchsorted(total, total[-1] - tail, side="left")) + 1]
    return min(float(low), 0.0), max(float(high), 0.0)


def by_entropy(counts: NDArray[np.int64], extremes: tuple[float, float]) -> tuple[float, float]:
    """Return the range, shrunk towards 0 on both sides alike, whose 8-bit histogram has the least Kullback-Leibler
    divergence from the full one (Migacz, "8-bit inference with TensorRT", GTC 2017)."""
    low, high = min(extremes[0], 0.0), max(extremes[1], 0.0)
    edges = np.linspace(*extremes, len(counts) + 1)
    counts = _without_spike(counts, edges)
    centres = (edges[:-1] + edges[1:]) / 2
    scores = [_divergence(counts, centres, low * part, high * part) for part in SHRINKS]
    best = float(SHRINKS[int(np.argmin(scores))])
    return low * best, high * best


def _without_spike(counts: NDArray[np.int64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """Level the bin of 0 with its neighbours.

    Half of what ReLU gives is exactly 0, which costs nothing, since 0 is a level; counted as spread over its bin, it
    would pay to clip nearly all else, to narrow that bin's level.
    """
    if not edges[0] <= 0.0 <= edges[-1]:
        return counts
    zero = int(np.searchsorted(edges, 0.0, side="right")) - 1
    # Where 0 is an edge, rounding decides on which side of it the zeros were counted.
    spike = max(_near(zero, counts), key=lambda i: int(counts[i]))
    levelled = counts.copy()
    beside = [counts[i] for i in _near(spike, counts) if i != spike]
    levelled[spike] = min(counts[spike], max(beside, default=counts[spike]))
    return levelled


def _near(index: int, counts: NDArray[np.int64]) -> range:
    return range(max(0, index - 1), min(len(counts), index + 2))


def _divergence(counts: NDArray[np.int64], centres: NDArray[np.float64], low: float, high: float) -> float:
    if high <= low:
        return 0.0
    clipped = np.clip(centres, low, high)
    # The reference has the clipped values piled up at its ends; the candidate spreads each level over its own bins.
    levels = np.minimum(((clipped - low) / (high - low) * LEVELS).astype(np.int64), LEVELS - 1)
    inside = (centres >= low) & (centres <= high)
    reference = counts.astype(np.float64)
    piled = np.bincount(levels, weights=reference, minlength=LEVELS)
    kept = np.bincount(levels, weights=reference * inside, minlength=LEVELS)
    filled = np.bincount(levels, weights=(reference > 0) & inside, minlength=LEVELS)
    candidate = np.where((reference > 0) & inside, (kept / np.maximum(filled, 1))[levels], 0.0)
    target = np.where(inside, reference, 0.0)
    ends = np.flatnonzero(inside)
    if len(ends) == 0:
        return float("inf")
    target[ends[0]] += (piled - kept)[levels[ends[0]]]
    target[ends[-1]] += (piled - kept)[levels[ends[-1]]] if levels[ends[-1]] != levels[ends[0]] else 0.0
    return _kl(target, candidate)


def _kl(target: NDArray[np.float64], candidate: NDArray[np.float64]) -> float:
    p, q = target / max(target.sum(), 1e-30), candidate / max(candidate.sum(), 1e-30)
    used = p > 0
    return float(np.sum(p[used] * np.log(p[used] / np.maximum(q[used], 1e-12))))


def _extremes(session: HostSession, names: list[str], samples: Sequence[Arrays]) -> Ranges:
    low, high = dict.fromkeys(names, np.inf), dict.fromkeys(names, -np.inf)
    for sample in samples:
        for name, value in {**session.run(sample, names)}.items():
            if value.size:
                low[name] = min(low[name], float(value.min()))
                high[name] = max(high[name], float(value.max()))
    return {name: (low[name], high[name]) if low[name] <= high[name] else (0.0, 0.0) for name in names}


def _histograms(
    session: HostSession, extremes: Ranges, samples: Sequence[Arrays], bins: int
) -> dict[str, NDArray[np.int64]]:
    counts = {name: np.zeros(bins, np.int64) for name in extremes}
    for sample in samples:
        for name, value in session.run(sample, list(extremes)).items():
            low, high = extremes[name]
            if high > low:
                scaled = (value.reshape(-1).astype(np.float64) - low) * (bins / (high - low))
                counts[name] += np.bincount(np.clip(scaled.astype(np.int64), 0, bins - 1), minlength=bins)
    return counts


def _float_tensors(model: onnx.ModelProto) -> list[str]:
    """Names of the float32 activations: graph inputs and node outputs, in the graph's order."""
    import onnx

    inferred = onnx.shape_inference.infer_shapes(model).graph
    values = (*inferred.input, *inferred.value_info, *inferred.output)
    types = {each.name: each.type.tensor_type.elem_type for each in values}
    constants = {each.name for each in model.graph.initializer}
    order = [each.name for each in model.graph.input] + [name for node in model.graph.node for name in node.output]
    wanted = (name for name in order if name not in constants and types.get(name) == onnx.TensorProto.FLOAT)
    return list(dict.fromkeys(wanted))


def _with_outputs(model: onnx.ModelProto, names: list[str]) -> bytes:
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    have = {each.name for each in made.graph.output}
    inputs = {each.name for each in made.graph.input}
    for name in names:
        if name not in have:
            made.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    _ = inputs  # an input may be an output, too: onnxruntime passes it through
    data: bytes = made.SerializeToString()
    return data


def as_tensors_data(ranges: Ranges) -> Any:
    """Return ``ranges`` in the form that onnxruntime's quantizer takes."""
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import TensorData, TensorsData

    data = {
        name: TensorData(lowest=np.array(low, np.float32), highest=np.array(high, np.float32))
        for name, (low, high) in ranges.items()
    }
    return TensorsData(CalibrationMethod.MinMax, data)
