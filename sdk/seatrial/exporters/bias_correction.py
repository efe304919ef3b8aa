"""Take the mean error out of each quantized layer by shifting its bias.

Rounding a layer's weights moves the mean of its outputs, channel by channel, and the layers after it are fed the moved
values; depthwise convolutions, with nine weights to a channel, suffer most. Nagel et al., "Data-Free Quantization
Through Weight Equalization and Bias Correction", ICCV 2019, section 4.2; here with data, and layer after layer, so that
each correction sees those before it (correcting all at once overshoots: the errors add up along the graph).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .host import HostSession
from .parity import sqnr_db
from .samples import Arrays

if TYPE_CHECKING:
    import onnx
    from numpy.typing import NDArray

LAYERS = ("Conv", "ConvTranspose", "Gemm")
MOST_SAMPLES = 8  # means settle with few samples; the whole net runs once per layer and sample
MOST_ROUNDS = (
    64  # in deeper nets layers that follow each other are corrected at once, or time would grow with the square
)


def correct_biases(
    model: onnx.ModelProto, quantized: onnx.ModelProto, samples: Sequence[Arrays], *, optimization: str = ""
) -> tuple[onnx.ModelProto, float]:
    """Return ``quantized`` with corrected biases, and by how many dB its outputs came nearer to those of ``model``.

    Layers without a bias, or with one that several layers share, are left as they are. ``optimization`` of ONNX Runtime
    while it computes the quantized model; by default the one that is fast for its integers.
    """
    import onnx

    few = samples[:: max(1, len(samples) // MOST_SAMPLES)][:MOST_SAMPLES]
    means = _all_means(model, few)
    made = onnx.ModelProto()
    made.CopyFrom(quantized)
    biases, way = _biases(made), optimization or _way(made)
    nodes = [node for node in made.graph.node if node.name in biases and node.name in means]
    for group in _groups(nodes):
        found = _means(made, [node.output[0] for node in group], few, way)
        for node in group:
            _shift(*biases[node.name], found[node.output[0]] - means[node.name])
    return made, _fidelity(model, made, samples, way) - _fidelity(model, quantized, samples, way)


def _fidelity(model: onnx.ModelProto, other: onnx.ModelProto, samples: Sequence[Arrays], way: str) -> float:
    """Worst output's SQNR of ``other``, computed the given ``way``, against ``model`` over all samples, in dB."""
    first = HostSession(model.SerializeToString(), optimization="all")
    second = HostSession(other.SerializeToString(), optimization=way)
    pairs = [(first.run(sample), second.run(sample)) for sample in samples]
    return min(
        sqnr_db(np.stack([a[name].ravel() for a, _ in pairs]), np.stack([b[name].ravel() for _, b in pairs]))
        for name in first.output_names
        if pairs[0][0][name].dtype.kind == "f"
    )


def _all_means(model: onnx.ModelProto, samples: Sequence[Arrays]) -> dict[str, NDArray[np.float64]]:
    layers = {node.name: node for node in model.graph.node if node.op_type in LAYERS and node.name}
    outputs = [node.output[0] for node in layers.values()]
    session = HostSession(_only(model, outputs))
    found = [session.run(sample, outputs) for sample in samples] if layers else []
    return {
        name: np.mean([_per_channel(each[node.output[0]]) for each in found], axis=0) for name, node in layers.items()
    }


def _groups(nodes: Sequence[Any]) -> list[Sequence[Any]]:
    size = -(-len(nodes) // MOST_ROUNDS) or 1
    return [nodes[i : i + size] for i in range(0, len(nodes), size)]


def _means(
    model: onnx.ModelProto, outputs: list[str], samples: Sequence[Arrays], way: str
) -> dict[str, NDArray[np.float64]]:
    session = HostSession(_only(model, outputs), optimization=way)
    found = [session.run(each, outputs) for each in samples]
    return {name: np.mean([_per_channel(each[name]) for each in found], axis=0) for name in outputs}


def _way(model: onnx.ModelProto) -> str:
    # An x86 CPU has fast kernels for uint8 activations only; for int8 ones Q, float and DQ one by one are faster here.
    import onnx

    zero_points = {
        node.input[2] for node in model.graph.node if node.op_type == "QuantizeLinear" and len(node.input) > 2
    }
    types = {each.data_type for each in model.graph.initializer if each.name in zero_points}
    return "basic" if onnx.TensorProto.INT8 in types else "all"


def _per_channel(value: NDArray[Any]) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = value.astype(np.float64).mean(axis=tuple(i for i in range(value.ndim) if i != 1))
    return mean


def _only(model: onnx.ModelProto, outputs: list[str]) -> bytes:
    """The model's bytes with just these outputs: onnxruntime drops the nodes that they don't need."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    del made.graph.output[:]
    for name in dict.fromkeys(outputs):
        made.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    data: bytes = made.SerializeToString()
    return data


def _biases(model: onnx.ModelProto) -> dict[str, tuple[Any, NDArray[np.float64]]]:
    """For each layer's name: its bias tensor, and the value of one step of it (1 for a float bias)."""
    import onnx

    tensors = {each.name: each for each in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    readers = [name for node in model.graph.node for name in node.input]
    found = {}
    for node in model.graph.node:
        name = node.input[2] if node.op_type in LAYERS and len(node.input) > 2 else ""
        maker = makers.get(name)
        step = np.ones(1)
        if maker is not None and maker.op_type == "DequantizeLinear" and maker.input[1] in tensors:
            name, step = maker.input[0], onnx.numpy_helper.to_array(tensors[maker.input[1]]).astype(np.float64)
        if name in tensors and readers.count(name) == 1:
            found[node.name] = (tensors[name], step)
    return found


def _shift(tensor: Any, step: NDArray[np.float64], error: NDArray[np.float64]) -> None:
    import onnx

    old = onnx.numpy_helper.to_array(tensor)
    if old.shape != error.shape:
        return
    exact = old - error / step
    limit = np.iinfo(np.int32)
    new = np.clip(np.rint(exact), limit.min, limit.max) if old.dtype == np.int32 else exact
    tensor.CopyFrom(onnx.numpy_helper.from_array(new.astype(old.dtype), tensor.name))
