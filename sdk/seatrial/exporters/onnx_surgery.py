"""Changes to an ONNX graph that change no number: what names this machine goes out, names and versions are settled."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx

# Operators whose second input (or inputs) are weights. Their count by precision is the manifest's precision_summary.
WEIGHTED = (
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeMatMul",
    "MatMulNBits",
)
MIN_IR_VERSION = 8  # what ONNX Runtime 1.10 and later read


def canonical(model: onnx.ModelProto, axis_names: dict[str, str] | None = None) -> onnx.ModelProto:
    """Return a copy without stack traces, doc strings and producer, with only the opsets in use and the oldest IR
    version that carries them, so that the same model gives the same bytes. ``axis_names`` renames dimensions."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    _strip(made)
    _drop_unused(made)
    _rename_axes(made, axis_names or {})
    made.producer_name, made.producer_version = "seatrial", ""
    made.ir_version = max(
        MIN_IR_VERSION, onnx.helper.find_min_ir_version_for(list(made.opset_import), ignore_unknown=True)
    )
    return made


def with_final_outputs(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which no node reads an output of the model: such a tensor gets a twin for its readers.

    onnxconverter-common casts outputs back to float32, and would hand that to float16 nodes, too.
    """
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(model)
    read = {name for graph in _graphs(made.graph) for node in graph.node for name in node.input}
    written = {name for node in made.graph.node for name in node.output}
    for name in [each.name for each in made.graph.output if each.name in read & written]:
        for graph in _graphs(made.graph):
            for node in graph.node:
                node.input[:] = [f"{name}_inside" if each == name else each for each in node.input]
                node.output[:] = [f"{name}_inside" if each == name else each for each in node.output]
        made.graph.node.append(onnx.helper.make_node("Identity", [f"{name}_inside"], [name], name=f"{name}_out"))
    return made


def serialized(model: onnx.ModelProto) -> bytes:
    """Return the model's bytes, the same for the same model."""
    data: bytes = model.SerializeToString(deterministic=True)
    return data


def symbolic_axes(model: onnx.ModelProto) -> dict[str, str]:
    """Return new names for dimensions that vary: after the first input and axis that has them, as in `x_axis0`."""
    names: dict[str, str] = {}
    for value in model.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_param:
                names.setdefault(dim.dim_param, f"{value.name}_axis{axis}")
    return names


def precision_summary(model: onnx.ModelProto) -> dict[str, int]:
    """Count the nodes that carry weights by the type of their arithmetic: {"int8": 49, "float32": 3}.

    Products with weights in groups count by their weights' bits ("int4")."""
    import onnx

    weights = {each.name: each.data_type for each in model.graph.initializer}
    makers = {output: node for node in model.graph.node for output in node.output}
    found: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type == "MatMulNBits":
            name = f"int{next(each.i for each in node.attribute if each.name == 'bits')}"
            found[name] = found.get(name, 0) + 1
            continue
        kind = _arithmetic(node, weights, makers) if node.op_type in WEIGHTED else None
        if kind is not None:
            name = str(onnx.helper.tensor_dtype_to_np_dtype(kind)).replace("uint8", "int8")
            found[name] = found.get(name, 0) + 1
    return dict(sorted(found.items()))


def _arithmetic(node: Any, weights: dict[str, int], makers: dict[str, Any]) -> int | None:
    weight, scale = _origin(node.input[1], makers)
    if scale and _origin(node.input[0], makers)[1]:
        return _stored(weight, weights, makers)
    # Weights alone are stored in 8 bits: the arithmetic is that of the scale's type.
    return weights.get(scale or weight)


def _origin(name: str, makers: dict[str, Any]) -> tuple[str, str]:
    """Return where a tensor comes from through Casts, and the scale of the DequantizeLinear there, if there is one."""
    maker = makers.get(name)
    while maker is not None and maker.op_type == "Cast":
        name = maker.input[0]
        maker = makers.get(name)
    if maker is None or maker.op_type != "DequantizeLinear":
        return name, ""
    return maker.input[0], maker.input[1]


def _stored(weight: str, weights: dict[str, int], makers: dict[str, Any]) -> int | None:
    """Return the integer type of a quantized weight: its own, or that of the quantizer before it."""
    maker = makers.get(weight)
    if maker is not None and maker.op_type == "QuantizeLinear" and len(maker.input) > 2:
        return weights.get(maker.input[2])
    return weights.get(weight)


def _strip(model: onnx.ModelProto) -> None:
    del model.metadata_props[:]
    model.doc_string = ""
    for graph in _graphs(model.graph):
        graph.doc_string = ""
        del graph.metadata_props[:]
        for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            part.doc_string = ""
            del part.metadata_props[:]
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for each in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _graphs(each)


def _drop_unused(model: onnx.ModelProto) -> None:
    nodes: Iterable[Any] = (node for graph in _graphs(model.graph) for node in graph.node)
    used = {"", *(node.domain for node in nodes), *(node.domain for each in model.functions for node in each.node)}
    kept = [each for each in model.opset_import if each.domain in used or each.domain == "ai.onnx"]
    kept.sort(key=lambda each: each.domain)
    versions = [(each.domain, each.version) for each in kept]
    del model.opset_import[:]
    for domain, version in versions:
        model.opset_import.add(domain=domain, version=version)


def _rename_axes(model: onnx.ModelProto, names: dict[str, str]) -> None:
    if not names:
        return
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, names)) + r")\b")
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = pattern.sub(lambda match: names[match.group()], dim.dim_param)
