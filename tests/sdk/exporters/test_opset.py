"""Older opsets: the same numbers from what operators were called and took there."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto as T
from onnx import helper

from seatrial.exporters.capture import to_onnx
from seatrial.exporters.host import HostSession
from seatrial.exporters.opset import TooNewError, lowered


class Various(torch.nn.Module):
    """What changed between 13 and 18: a mean over axes, a resize, a split, a pad, activations that gained types."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.interpolate(torch.relu(x), scale_factor=2.0, mode="nearest")
        left, right = torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect").chunk(2, 1)
        return (left * torch.sigmoid(right)).mean((2, 3), keepdim=True).sum(1)


@pytest.mark.parametrize("opset", [13, 17])
def test_an_older_opset_computes_the_same(opset: int) -> None:
    x = torch.linspace(-1, 1, 64).reshape(1, 4, 4, 4)
    model = to_onnx(torch.export.export(Various(), (x,)), ["x"], opset)
    assert [each.version for each in model.opset_import] == [opset]
    onnx.checker.check_model(model, full_check=True)
    (found,) = HostSession(model.SerializeToString()).run({"x": x.numpy()}).values()
    assert np.allclose(found, Various()(x).numpy(), atol=1e-6)


class Newer(torch.nn.Module):
    """Operators that came with opsets 14, 17 and 18."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = torch.nn.LayerNorm(4)
        torch.nn.init.normal_(self.norm.weight)
        torch.nn.init.normal_(self.norm.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.mish(self.norm(torch.nn.functional.hardswish(3 * x)))


@pytest.mark.parametrize(
    ("opset", "there"), [(13, set()), (16, {"HardSwish"}), (17, {"HardSwish", "LayerNormalization"})]
)
def test_what_came_later_is_written_with_what_was_there(opset: int, there: set[str]) -> None:
    x = torch.linspace(-2, 2, 64).reshape(1, 4, 4, 4)
    module = Newer().eval()
    model = to_onnx(torch.export.export(module, (x,)), ["x"], opset)
    named = {"HardSwish", "LayerNormalization", "Mish"}
    assert {node.op_type for node in model.graph.node} & named == there
    (found,) = HostSession(model.SerializeToString()).run({"x": x.numpy()}).values()
    assert np.allclose(found, module(x).detach().numpy(), atol=1e-5)


def single(op: str, inputs: list[str], constants: dict[str, Any], **attributes: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(op, inputs, ["y"], name="only", **attributes)],
        "one",
        [helper.make_tensor_value_info(name, T.FLOAT, [4, 8]) for name in inputs if name and name not in constants],
        [helper.make_tensor_value_info("y", T.FLOAT, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (lambda: single("BitwiseNot", ["x"], {}), "BitwiseNot is newer than opset 17"),
        (
            lambda: single("Reshape", ["x", "s"], {"s": np.array([0, 32])}, allowzero=1),
            "allowzero=1, which it had not",
        ),
        (lambda: single("ReduceMax", ["x", "y0"], {}, noop_with_empty_axes=0), "computed axes"),
        (
            lambda: single("ReduceMax", ["x", "a"], {"a": np.array([0])}, noop_with_empty_axes=1),
            "noop_with_empty_axes=1, which it had not",
        ),
    ],
)
def test_what_has_no_older_form_is_named(model: Any, said: str) -> None:
    with pytest.raises(TooNewError, match=said):
        lowered(model(), 13 if "allowzero" in said else 17)
