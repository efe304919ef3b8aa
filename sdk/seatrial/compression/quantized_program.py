"""The contract: what a quantized `.pt2` is, for whoever exports it.

A quantized program is an ExportedProgram (eval mode, batch norms folded) that computes in float32 and holds, around
what a runtime may compute in integers, operators of torch's library ``quantized_decomposed``:

- **Activations**: ``quantize_per_tensor`` then ``dequantize_per_tensor``, with scale and zero point as numbers. int8 in
  -127..127 with zero point 0 (symmetric: what TensorRT and Core ML take), or, where a recipe says so for ONNX Runtime
  alone, uint8 in 0..255 with a zero point. They stand on the inputs of convolutions, linear layers, matrix products,
  residual additions and means, never between a convolution and its activation function. One quantize has a dequantize
  for each of its readers.
- **Weights**: a constant of int8 in -127..127, then ``dequantize_per_channel`` (axis 0, for transposed convolutions 1)
  or ``dequantize_per_tensor``; the constant is named like the layer's weight, `blocks.0.conv.weight`, its scales and
  zero points with ``_scale`` and ``_zero_point`` behind that. There is no float copy.
- **Grouped weights** (language models): int8 constants with ``dequantize_per_channel_group`` (int4 values in -8..7).
- **Biases** are float32; a runtime that wants int32 makes it with scale(activation) x scale(weight).
- Whatever stands between float values is meant to be computed in floating point: that layer was left out on purpose.
  What is meant for float16 has its constants in float16, and stands between casts (``aten.to.dtype``).

A dynamically quantized program has ``choose_qparams`` in it: scales are found while it runs.

Loading or exporting one needs torch alone, not torchao; but the library's operators must be registered first, which
`register` does (`load_source` calls it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

LIBRARY = "quantized_decomposed"
_WEIGHT_SUFFIX = ".weight"


@dataclass(frozen=True)
class Quantizer:
    """One quantizer of a program.

    ``node`` is the name of its (de)quantize node. ``tensor``: for weights the constant's path in the state dict
    ("layer1.conv.weight"), for activations the name of the node whose value is quantized. ``scale`` and ``zero_point``
    hold one number, or one for each channel (or group) along ``axis``. ``levels``: the smallest and largest integer.
    """

    node: str
    tensor: str
    kind: Literal["activation", "weight"]
    dtype: str
    levels: tuple[int, int]
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None
    group_size: int | None = None

    @property
    def layer(self) -> str:
        """The path of the layer whose weight this is; empty for activations."""
        return self.tensor.removesuffix(_WEIGHT_SUFFIX) if self.kind == "weight" else ""


def register() -> None:
    """Register the operators of ``quantized_decomposed`` with torch."""
    import torch.ao.quantization.fx._decomposed  # noqa: F401


def is_quantized(program: torch.export.ExportedProgram | torch.nn.Module) -> bool:
    """Return whether a program, or a captured module, has quantizers in it."""
    graph = getattr(program, "graph", None)
    return graph is not None and any(_is_ours(node) for node in graph.nodes)


def has_integer_arithmetic(program: torch.export.ExportedProgram | torch.nn.Module) -> bool:
    """Return whether activations are quantized, too, so that layers may be computed in integers."""
    graph = getattr(program, "graph", None)
    nodes = () if graph is None else graph.nodes
    return any(_is_ours(node) and ".quantize_per_t" in str(node.target) for node in nodes)


def is_dynamic(program: torch.export.ExportedProgram) -> bool:
    """Return whether the program finds scales of activations while it runs."""
    return any(_is_ours(node) and "choose_qparams" in str(node.target) for node in program.graph.nodes)


def quantizers(program: torch.export.ExportedProgram) -> tuple[Quantizer, ...]:
    """Return the static quantizers of a program, in the order of its graph: weights and activations.

    Each quantized activation is listed once, by its quantize node; each quantized weight by its dequantize node.
    """
    constants = constant_names(program)
    found = (_read(node, program, constants) for node in program.graph.nodes if _is_ours(node))
    return tuple(each for each in found if each is not None)


def constant_names(program: torch.export.ExportedProgram) -> dict[str, str]:
    """Return, for each placeholder of a weight, buffer or constant, its path in the state dict or the constants."""
    signature = program.graph_signature
    return {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }


def constant_value(program: torch.export.ExportedProgram, path: str) -> torch.Tensor:
    """Return a weight, buffer or constant by its path."""
    value: torch.Tensor = program.state_dict[path] if path in program.state_dict else program.constants[path]
    return value


def _is_ours(node: Any) -> bool:
    return node.op == "call_function" and str(node.target).startswith(LIBRARY)


def _read(node: Any, program: torch.export.ExportedProgram, constants: dict[str, str]) -> Quantizer | None:
    operator = str(node.target).removeprefix(f"{LIBRARY}.").partition(".")[0]
    source = node.args[0]
    of_weight = getattr(source, "name", "") in constants
    if operator in ("quantize_per_tensor", "quantize_per_channel") and not of_weight:
        return _quantizer(node, source.name, "activation", program, constants)
    if operator.startswith("dequantize_per_") and of_weight:
        return _quantizer(node, constants[source.name], "weight", program, constants)
    return None


def _quantizer(
    node: Any, tensor: str, kind: Literal["activation", "weight"], program: Any, constants: dict[str, str]
) -> Quantizer | None:
    named = _arguments(node)
    scale = _numbers(named["scale"], program, constants)
    zero_point = _numbers(named["zero_point"], program, constants)
    if scale is None or zero_point is None:
        return None  # found while it runs
    return Quantizer(
        node.name,
        tensor,
        kind,
        str(named["dtype"]).removeprefix("torch."),
        (int(named["quant_min"]), int(named["quant_max"])),
        tuple(map(float, scale)),
        tuple(map(int, zero_point)),
        named.get("axis"),
        named.get("group_size"),
    )


def _arguments(node: Any) -> dict[str, Any]:
    """The node's arguments by name, with ``scales`` and ``zero_points`` in the singular."""
    schema = [argument.name for argument in node.target._schema.arguments]
    named = {**dict(zip(schema, node.args, strict=False)), **node.kwargs}
    return {{"scales": "scale", "zero_points": "zero_point"}.get(key, key): value for key, value in named.items()}


def _numbers(value: Any, program: Any, constants: dict[str, str]) -> list[float] | None:
    if isinstance(value, int | float):
        return [value]
    name = getattr(value, "name", "")
    if name not in constants:
        return None
    flat: list[float] = constant_value(program, constants[name]).reshape(-1).tolist()
    return flat
