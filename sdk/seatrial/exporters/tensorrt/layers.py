"""Which layer does quantization hurt? For each quantized layer three figures, on a few calibration samples.

- ``own_db``: signal to noise of its output when it alone is quantized and fed exact values: the noise that it adds.
- ``after_db``: that of its output in the quantized net: its own noise and all that came before it.
- ``gain_db``: how much nearer the model's outputs come when this layer alone stays in floating point. It costs a run of
  the net for each layer, so that only those with the least ``own_db``, and the last, have it.

Deeper layers nearly always have less ``after_db``; a low ``own_db`` or a high ``gain_db`` is what to act on, by
``keep_float`` or by quantization-aware training. All three are without the correction of biases, but ``after_db``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..host import Arrays, HostSession
from ..onnx_surgery import serialized
from ..parity import ratio_db
from .placement import Placement
from .quantize import TWIN, GivenWeight, with_quantizers, with_twins

if TYPE_CHECKING:
    import onnx

LAYERS_FILE = "layers.json"
LAYERS_SCHEMA = "seatrial.layers/1"
MOST_SAMPLES = 8
WITH_GAIN = 5
FLOAT = 1


@dataclass(frozen=True)
class LayerNoise:
    """Figures of one layer, in dB; ``gain_db`` is None where it was not tried."""

    name: str
    op: str
    own_db: float
    after_db: float
    gain_db: float | None = None


def layer_noise(
    original: onnx.ModelProto,
    quantized: onnx.ModelProto,
    placement: Placement,
    scales: Mapping[str, np.float32],
    given: Mapping[str, GivenWeight],
    samples: Sequence[Arrays],
) -> tuple[LayerNoise, ...]:
    """Return the figures of each quantized layer, in the order of the graph.

    ``original`` is the float model, ``quantized`` the same with quantizers by ``placement`` and ``scales``, and with
    the ``given`` weights.
    """
    few = samples[:: max(1, len(samples) // MOST_SAMPLES)][:MOST_SAMPLES]
    layers = {node.name: node for node in original.graph.node if node.name in placement.weights}
    outputs = {name: node.output[0] for name, node in layers.items()}
    twins = {name: (output, f"{output}{TWIN}") for name, output in outputs.items()}
    own = _own(with_twins(original, placement, scales, given), twins, few)
    after = _compared(original, quantized, outputs, few)
    worst = sorted(layers, key=lambda name: own[name])[:WITH_GAIN]
    # Nothing behind the last layer averages its noise out.
    worst += [name for name in list(layers)[-1:] if name not in worst]
    gains = _gains(original, placement, scales, given, worst, few)
    return tuple(
        LayerNoise(name, str(node.op_type), *_rounded(own[name], after[name], gains.get(name)))
        for name, node in layers.items()
    )


def record_of(layers: Sequence[LayerNoise]) -> dict[str, Any]:
    """Return the figures as plain data for the bundle."""
    return {"schema": LAYERS_SCHEMA, "layers": [asdict(each) for each in layers]}


def _own(model: onnx.ModelProto, pairs: Mapping[str, tuple[str, str]], samples: Sequence[Arrays]) -> dict[str, float]:
    names = [name for pair in pairs.values() for name in pair]
    session = HostSession(_with_outputs(model, names), optimization="none")
    sums = {name: np.zeros(2) for name in pairs}
    for sample in samples:
        found = session.run(sample, names)
        for name, (exact, noisy) in pairs.items():
            sums[name] += _energies(found[exact], found[noisy])
    return {name: ratio_db(*total) for name, total in sums.items()}


def _compared(
    first: onnx.ModelProto, second: onnx.ModelProto, tensors: Mapping[str, str], samples: Sequence[Arrays]
) -> dict[str, float]:
    names = list(dict.fromkeys(tensors.values()))
    sessions = [HostSession(_with_outputs(model, names), optimization="none") for model in (first, second)]
    sums = {name: np.zeros(2) for name in names}
    for sample in samples:
        exact, noisy = (session.run(sample, names) for session in sessions)
        for name in names:
            sums[name] += _energies(exact[name], noisy[name])
    return {key: ratio_db(*sums[name]) for key, name in tensors.items()}


def _gains(
    original: onnx.ModelProto,
    placement: Placement,
    scales: Mapping[str, np.float32],
    given: Mapping[str, GivenWeight],
    nodes: Sequence[str],
    samples: Sequence[Arrays],
) -> dict[str, float]:
    outputs = {each.name: each.name for each in original.graph.output if each.type.tensor_type.elem_type == FLOAT}

    def fidelity(without: str) -> float:
        made = with_quantizers(original, placement.without(without), scales, "rounded", given)
        return min(_compared(original, made, outputs, samples).values())

    now = fidelity("") if outputs and nodes else 0.0
    return {name: fidelity(name) - now for name in nodes} if outputs else {}


def _rounded(*values: float | None) -> tuple[Any, ...]:
    return tuple(None if value is None else round(value, 2) for value in values)


def _with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> bytes:
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.output[:]
    made.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in dict.fromkeys(names))
    return serialized(made)


def _energies(exact: Any, noisy: Any) -> Any:
    wide = exact.astype(np.float64)
    return np.array([np.sum(wide**2), np.sum((wide - noisy) ** 2)])
