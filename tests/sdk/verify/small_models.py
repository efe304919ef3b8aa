"""Small quantized models, right ones and ones that break a rule each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper, numpy_helper

Nodes = list[onnx.NodeProto]
value = helper.make_tensor_value_info
SCALE, ZERO = np.float32(0.02), np.int8(0)


def model(nodes: Nodes, constants: dict[str, Any], inputs: list[Any], outputs: list[Any], opset: int = 17) -> Any:
    graph = helper.make_graph(
        nodes, "small", inputs, outputs, [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()]
    )
    domains = sorted({node.domain for node in nodes} - {""})
    made = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    )
    made.ir_version = 8 if opset < 19 else 10
    return made


def pair(name: str, source: str, scale: Any = SCALE, zero: Any = ZERO) -> tuple[Nodes, dict[str, Any]]:
    """QuantizeLinear and DequantizeLinear of `source`; the result is `NAME_d`."""
    constants = {f"{name}_s": scale, f"{name}_z": zero}
    axis = {"axis": 1} if np.ndim(scale) else {}
    nodes = [
        helper.make_node("QuantizeLinear", [source, *constants], [f"{name}_q"], name=f"q_{name}", **axis),
        helper.make_node("DequantizeLinear", [f"{name}_q", *constants], [f"{name}_d"], name=f"dq_{name}", **axis),
    ]
    return nodes, constants


def weight(
    name: str,
    shape: tuple[int, ...],
    axis: int = 0,
    scale: float = 0.01,
    zero: int = 0,
    scale_type: Any = np.float32,
    stored: str = "float",
) -> tuple[Nodes, dict[str, Any]]:
    """A weight behind Q/DQ (`stored` as "int8": behind DQ), one scale per slice of `axis`; the result is `NAME_d`."""
    integers = np.random.default_rng(0).integers(-127, 127, shape).astype(np.int8)
    ends = {f"{name}_s": np.full(shape[axis], scale, scale_type), f"{name}_z": np.full(shape[axis], zero, np.int8)}
    nodes = [helper.make_node("DequantizeLinear", [f"{name}_q", *ends], [f"{name}_d"], name=f"dq_{name}", axis=axis)]
    if stored == "int8":
        return nodes, {f"{name}_q": integers, **ends}
    first = helper.make_node("QuantizeLinear", [f"{name}_f", *ends], [f"{name}_q"], name=f"q_{name}", axis=axis)
    return [first, *nodes], {f"{name}_f": integers.astype(scale_type) * scale_type(0.01), **ends}


def conv(
    activation: dict[str, Any] | None = None, weights: dict[str, Any] | None = None, opset: int = 17, **how: Any
) -> Any:
    """One Conv of 16 to 8 channels; `how`: bias ("float", "int32"), only ("weight", "activation")."""
    nodes, constants = pair("x", "x", **(activation or {})) if how.get("only") != "weight" else ([], {})
    more, others = weight("w", (8, 16, 3, 3), **(weights or {}))
    if how.get("only") == "activation":
        more, others = [], {"w_d": np.ones((8, 16, 3, 3), np.float32)}
    inputs = ["x" if how.get("only") == "weight" else "x_d", "w_d"]
    if how.get("bias") == "int32":
        others |= {"b_q": np.zeros(8, np.int32), "b_s": np.full(8, 1e-3, np.float32), "b_z": np.zeros(8, np.int32)}
        more.append(helper.make_node("DequantizeLinear", ["b_q", "b_s", "b_z"], ["b_d"], name="dq_b", axis=0))
        inputs.append("b_d")
    nodes += [*more, helper.make_node("Conv", inputs, ["y"], name="conv", pads=[1, 1, 1, 1])]
    constants |= others
    return model(nodes, constants, [value("x", T.FLOAT, [1, 16, 14, 14])], [value("y", T.FLOAT, None)], opset)


def residual(main_quantized: bool, residual_quantized: bool = True) -> Any:
    """x -> Conv -> Add(x) with quantizers on the branches that are named."""
    nodes, constants = pair("x", "x")
    more, others = weight("w", (16, 16, 3, 3))
    nodes += [*more, helper.make_node("Conv", ["x_d", "w_d"], ["c"], name="conv", pads=[1, 1, 1, 1])]
    constants |= others
    left, right = "c", "x"
    for wanted, source, name in ((main_quantized, "c", "m"), (residual_quantized, "x", "r")):
        if wanted:
            more, others = pair(name, source)
            nodes += more
            constants |= others
    left, right = ("m_d" if main_quantized else left), ("r_d" if residual_quantized else right)
    nodes += [
        helper.make_node("Add", [left, right], ["s"], name="add"),
        helper.make_node("Relu", ["s"], ["y"], name="relu"),
    ]
    return model(nodes, constants, [value("x", T.FLOAT, [1, 16, 14, 14])], [value("y", T.FLOAT, None)])


def halved(scale: Any = SCALE) -> Any:
    """A convolution of an fp16 graph whose quantizers give another float type, without a Cast."""
    made = conv({"scale": scale}, {"scale_type": scale.dtype.type}, opset=17 if scale.dtype == np.float32 else 19)
    bias = numpy_helper.from_array(np.zeros(8, np.float16), "b")
    made.graph.initializer.append(bias)
    made.graph.node[-1].input.append("b")
    kind = made.graph.input[0].type.tensor_type
    kind.elem_type = T.FLOAT16 if scale.dtype == np.float16 else T.FLOAT
    return made


def integer_conv() -> Any:
    nodes = [helper.make_node("ConvInteger", ["x", "w"], ["y"], name="ci")]
    weights = {"w": np.ones((8, 16, 1, 1), np.int8)}
    return model(nodes, weights, [value("x", T.INT8, [1, 16, 4, 4])], [value("y", T.INT32, None)])


def operator_conv() -> Any:
    """What onnxruntime's QOperator format makes of a convolution."""
    names = ["x_s", "x_z", "w", "w_s", "w_z", "y_s", "y_z"]
    values = [SCALE, np.uint8(128), np.ones((8, 16, 1, 1), np.int8), SCALE, np.int8(0), SCALE, np.uint8(128)]
    nodes = [helper.make_node("QLinearConv", ["x", *names], ["y"], name="qlc")]
    ends = [value("x", T.UINT8, [1, 16, 4, 4])], [value("y", T.UINT8, None)]
    return model(nodes, dict(zip(names, values, strict=True)), *ends)


def matmul(axis: int) -> Any:
    nodes, constants = pair("x", "x")
    more, others = weight("w", (16, 8), axis)
    nodes += [*more, helper.make_node("MatMul", ["x_d", "w_d"], ["y"], name="mm")]
    return model(nodes, constants | others, [value("x", T.FLOAT, [4, 16])], [value("y", T.FLOAT, [4, 8])])


def dynamic(made: Any) -> Any:
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    return made


def single(op: str, kind: int = T.FLOAT, shape: Any = (16,), domain: str = "", out: int | None = None) -> Any:
    node = helper.make_node(op, ["x"], ["y"], name="only", domain=domain)
    return model([node], {}, [value("x", kind, shape)], [value("y", kind if out is None else out, None)])


def mixed() -> Any:
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=T.FLOAT16),
        helper.make_node("Add", ["h", "x"], ["y"], name="add"),
    ]
    return model(nodes, {}, [value("x", T.FLOAT, [4])], [value("y", T.FLOAT, [4])])


# What NVIDIA's parser rejects, with the rule that must say so first.
REJECTED: dict[str, tuple[Callable[[], Any], str]] = {
    "zero point of an activation": (lambda: conv({"zero": np.int8(3)}), "zero-point"),
    "zero point of a weight": (lambda: conv(weights={"zero": 5}), "zero-point"),
    "uint8 with zero point": (lambda: conv({"zero": np.uint8(128)}), "integer-type"),
    "int16": (lambda: conv({"zero": np.int16(0)}, opset=21), "integer-type"),
    "int32 bias": (lambda: conv(bias="int32"), "quantized-bias"),
    "scale 0": (lambda: conv(weights={"scale": 0.0}), "scale"),
    "negative scale": (lambda: conv(weights={"scale": -0.01}), "scale"),
    "scale that float16 rounds to 0": (lambda: halved(np.float16(1e-8)), "scale"),
    "onnxruntime's defaults": (lambda: conv({"zero": np.uint8(128)}, bias="int32"), "quantized-bias"),
    "mixed types": (mixed, "mixed-types"),
    "float16 graph, float32 scales, no Cast": (halved, "mixed-types"),
    "dynamic input without a range": (lambda: dynamic(conv()), "dynamic-shape"),
    "ConvInteger": (integer_conv, "operator"),
    "QLinearConv": (operator_conv, "operator"),
    "integer arithmetic": (
        lambda: model(
            [helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], name="only")],
            {},
            [value("x", T.FLOAT, [16])],
            [value("q", T.UINT8, [16])],
        ),
        "operator",
    ),
    "foreign domain": (lambda: single("MyOp", domain="com.acme"), "domain"),
    "Unique": (lambda: single("Unique", shape=(16,)), "operator"),
}
# What it takes, and silently runs in floating point.
FLOATING: dict[str, tuple[Callable[[], Any], str]] = {
    "weight axis": (lambda: conv(weights={"axis": 1}), "weight-axis"),
    "scale per channel of an activation": (
        lambda: conv({"scale": np.full(16, 0.02, np.float32), "zero": np.zeros(16, np.int8)}),
        "activation-scale",
    ),
    "weight only": (lambda: conv(only="weight"), "half-quantized"),
    "activation only": (lambda: conv(only="activation"), "half-quantized"),
    "MatMul along K": (lambda: matmul(0), "weight-axis"),
}
RIGHT: dict[str, Callable[[], Any]] = {
    "Conv": conv,
    "Conv, opset 13": lambda: conv(opset=13),
    "residual": lambda: residual(main_quantized=False),
    "MatMul along N": lambda: matmul(1),
}
