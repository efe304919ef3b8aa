"""Where quantizers stand: on what convolutions, linear layers, residual additions, means and concatenations read.

Never between a convolution and the activation function that runtimes fuse into it: that would keep them apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...exporters.blame import node_module
from .pt2e import QuantizationAnnotation, QuantizationSpec, Quantizer, SharedQuantizationSpec

_ATEN = torch.ops.aten
CONVOLUTIONS = tuple(
    getattr(getattr(_ATEN, name), overload)
    for name in ("conv1d", "conv2d", "conv3d")
    for overload in ("default", "padding")
)
TRANSPOSED = (_ATEN.conv_transpose1d.default, _ATEN.conv_transpose2d.input, _ATEN.conv_transpose3d.input)
LAYERS = (*CONVOLUTIONS, *TRANSPOSED, _ATEN.linear.default)
ADDITIONS = (_ATEN.add.Tensor, _ATEN.add_.Tensor)
MEANS = (_ATEN.adaptive_avg_pool2d.default, _ATEN.mean.dim, _ATEN.avg_pool2d.default)
CONCATENATIONS = (_ATEN.cat.default,)
# What runtimes fuse into the convolution before it, so that its result is quantized behind it.
FUSED = (
    _ATEN.relu.default, _ATEN.relu_.default, _ATEN.relu6.default, _ATEN.relu6_.default, _ATEN.hardtanh.default,
    _ATEN.hardtanh_.default,
)  # fmt: skip
# What only moves values or leaves some out: a quantizer behind it does for what is before it.
MOVING = (
    _ATEN.max_pool2d.default, _ATEN.flatten.using_ints, _ATEN.view.default, _ATEN.reshape.default,
    _ATEN.permute.default, _ATEN.transpose.int, _ATEN.dropout.default, _ATEN.dropout_.default,
    _ATEN.squeeze.dims, _ATEN.squeeze.dim, _ATEN.unsqueeze.default, _ATEN.pixel_shuffle.default,
    _ATEN.pad.default, _ATEN.constant_pad_nd.default,
)  # fmt: skip


@dataclass(frozen=True)
class Specs:
    """How activations are quantized, and weights with channels along axis 0 and axis 1."""

    activation: QuantizationSpec
    weight: QuantizationSpec
    transposed_weight: QuantizationSpec


class LayerQuantizer(Quantizer):
    """A quantizer for PT2E. ``keep_float``: exact paths of layers that are left alone.

    ``outputs``: also quantize what a convolution gives to something that does not quantize its input itself; ONNX
    Runtime computes a convolution in integers only then.
    """

    def __init__(self, specs: Specs, keep_float: Sequence[str] = (), outputs: bool = False) -> None:
        super().__init__()
        self.specs, self.keep_float, self.outputs = specs, frozenset(keep_float), outputs
        self.layers: list[str] = []  # paths of the layers that got quantizers

    def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
        """Mark the nodes of ``model`` with what is to be quantized."""
        for node in model.graph.nodes:
            if node.op == "call_function":
                self._annotate(node)
        if self.outputs:
            for node in model.graph.nodes:
                self._annotate_output(node)
        return model

    def validate(self, model: torch.fx.GraphModule) -> None:
        """Nothing can be wrong with what `annotate` marks."""

    def _annotate(self, node: Any) -> None:
        if node.target in LAYERS and self._wanted(node):
            weight = self.specs.transposed_weight if node.target in TRANSPOSED else self.specs.weight
            _mark(node, {node.args[0]: self.specs.activation, node.args[1]: weight})
            self.layers.append(layer_path(node))
        elif node.target in ADDITIONS and _both_computed(node):
            _mark(node, {node.args[0]: self.specs.activation, node.args[1]: self.specs.activation})
        elif node.target in MEANS and _is_float(node.args[0]):
            _mark(node, {node.args[0]: self.specs.activation})
        elif node.target in CONCATENATIONS and all(_is_float(each) for each in node.args[0]):
            self._annotate_concatenation(node)

    def _wanted(self, node: Any) -> bool:
        return layer_path(node) not in self.keep_float and is_weight(node.args[1]) and _is_float(node.args[0])

    def _annotate_concatenation(self, node: Any) -> None:
        # All inputs and the result have one scale, so that the integers can be copied as they are.
        first, *others = dict.fromkeys(node.args[0])
        shared = SharedQuantizationSpec((first, node))
        _mark(node, {first: self.specs.activation, **dict.fromkeys(others, shared)}, output=shared)

    def _annotate_output(self, node: Any) -> None:
        if node.target not in LAYERS or not _annotation(node) or node.target == _ATEN.linear.default:
            return
        last = fused_end(node)
        if last.users and not all(_quantizes(last, user) for user in last.users):
            annotation = _annotation(last) or QuantizationAnnotation(_annotated=True)
            annotation.output_qspec = self.specs.activation
            last.meta["quantization_annotation"] = annotation


class DynamicQuantizer(Quantizer):
    """A quantizer for PT2E that marks linear layers alone, but those in ``keep_float`` (exact paths)."""

    def __init__(self, activation: QuantizationSpec, weight: QuantizationSpec, keep_float: Sequence[str] = ()) -> None:
        super().__init__()
        self.activation, self.weight, self.keep_float = activation, weight, frozenset(keep_float)
        self.layers: list[str] = []

    def annotate(self, model: torch.fx.GraphModule) -> torch.fx.GraphModule:
        """Mark the linear layers of ``model``."""
        for node in layer_nodes(model.graph):
            wanted = node.target == _ATEN.linear.default and layer_path(node) not in self.keep_float
            if wanted and is_weight(node.args[1]) and _is_float(node.args[0]):
                _mark(node, {node.args[0]: self.activation, node.args[1]: self.weight})
                self.layers.append(layer_path(node))
        return model

    def validate(self, model: torch.fx.GraphModule) -> None:
        """Nothing can be wrong with what `annotate` marks."""


def layer_nodes(graph: Any) -> list[Any]:
    """Return the nodes of layers with weights of their own, in the order of the graph."""
    return [node for node in graph.nodes if node.op == "call_function" and node.target in LAYERS]


def layer_paths(graph: Any) -> list[str]:
    """Return the paths of those layers, each once."""
    return list(dict.fromkeys(layer_path(node) for node in layer_nodes(graph) if is_weight(node.args[1])))


def layer_path(node: Any) -> str:
    """Return the path of a layer's call: of its module, or, in a graph that was captured again, of its weight."""
    if path := node_module(node):
        return path
    weight = node.args[1]
    while weight.op == "call_function" and weight.all_input_nodes:
        weight = weight.all_input_nodes[0]
    return str(weight.target).removesuffix(".weight") if weight.op == "get_attr" else ""


def is_weight(node: Any) -> bool:
    """Return whether a node is a parameter or buffer of the module."""
    return getattr(node, "op", "") == "get_attr"


def _mark(node: Any, inputs: dict[Any, Any], output: Any = None) -> None:
    node.meta["quantization_annotation"] = QuantizationAnnotation(
        input_qspec_map=inputs, output_qspec=output, _annotated=True
    )


def _annotation(node: Any) -> Any:
    return node.meta.get("quantization_annotation")


def _both_computed(node: Any) -> bool:
    both = node.args[:2]
    return all(isinstance(each, torch.fx.Node) and _is_float(each) and not is_weight(each) for each in both)


def _is_float(node: Any) -> bool:
    value = getattr(node, "meta", {}).get("val")
    return isinstance(value, torch.Tensor) and value.dtype == torch.float32


def fused_end(node: Any) -> Any:
    """Return the activation function that runtimes fuse into a layer's node, or the node itself."""
    users = list(node.users)
    return users[0] if len(users) == 1 and users[0].target in FUSED else node


def _quantizes(node: Any, user: Any) -> bool:
    """Whether ``user``, or all that read it when it only moves values, quantizes what it reads from ``node``."""
    if user.target in MOVING:
        return bool(user.users) and all(_quantizes(user, each) for each in user.users)
    annotation = _annotation(user)
    return annotation is not None and node in annotation.input_qspec_map
