"""What the stand-in for trtexec reads out of an ONNX file, without any package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple


class Node(NamedTuple):
    """One node of the graph."""

    op: str
    name: str
    inputs: list[str]
    outputs: list[str]


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) of the fields of a protobuf message; nested ones as bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        yield key >> 3, message[at : at + size]
        at += size


def nodes_of(model: bytes) -> list[Node]:
    """Return the nodes of an ONNX file: ModelProto.graph is field 7, GraphProto.node is 1."""
    found = []
    graph = next(value for number, value in fields(model) if number == 7)
    for node in (value for number, value in fields(graph) if number == 1):
        parts = [(number, value.decode()) for number, value in fields(node) if number in (1, 2, 3, 4)]
        pick = {n: [value for number, value in parts if number == n] for n in (1, 2, 3, 4)}
        found.append(Node("".join(pick[4]), "".join(pick[3]), pick[1], pick[2]))
    return found


def layer_info(model: bytes, detailed: bool, tensors: str) -> dict[str, Any]:
    """Return what --exportLayerInfo writes: the layers that multiply, Int8 where what they read was dequantized."""
    nodes = nodes_of(model)
    maker = {output: node for node in nodes for output in node.outputs}
    layers: list[Any] = []
    for node in nodes:
        if node.op not in ("Conv", "Gemm", "MatMul", "ConvTranspose"):
            continue
        source = maker.get(node.inputs[0])
        while source and source.op == "Cast":
            source = maker.get(source.inputs[0])
        quantized = source is not None and source.op == "DequantizeLinear"
        form = "Thirty-two wide channel vectorized row major Int8" if quantized else "Row major linear FP32"
        tensor = {"Name": node.inputs[0], "Format/Datatype": f"{form} format"}
        kind = "Convolution" if "Conv" in node.op else "MatrixMultiply"
        full = {"Name": node.name, "LayerType": "CaskConvolution", "Inputs": [tensor], "Outputs": []}
        layers.append({**full, "ParameterType": kind, "Metadata": "SEATRIAL STAND-IN"} if detailed else node.name)
    return {"Layers": layers, tensors: []}
