"""Layers of a quantized graph that are computed in float16, between casts; the casts arrive in the exported file."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch

from seatrial_targets.errors import UserError

from .cleaning import attribute, put_parameter
from .quantizer import fused_end, is_weight, layer_nodes, layer_path

_TO = torch.ops.aten.to.dtype


def compute_in_half(module: torch.fx.GraphModule, paths: Collection[str]) -> None:
    """Let the layers at ``paths``, which have no quantizers, read, compute and store in float16; in place.

    An activation function that runtimes fuse into the layer is computed in float16, too. Raises UserError for weights
    that float16 does not hold.
    """
    for node in layer_nodes(module.graph):
        if layer_path(node) in paths and is_weight(node.args[1]):
            _halve(module, node)
    module.graph.lint()
    module.recompile()


def _halve(module: torch.fx.GraphModule, node: Any) -> None:
    graph = node.graph
    with graph.inserting_before(node):
        read = {node.args[0]: graph.call_function(_TO, (node.args[0], torch.float16))}
        for constant in node.args[1:3]:
            if is_weight(constant):
                read[constant] = _in_half(module, constant)
    node.args = tuple(read.get(each, each) if isinstance(each, torch.fx.Node) else each for each in node.args)
    end = fused_end(node)
    with graph.inserting_after(end):
        back = graph.call_function(_TO, (end, torch.float32))
    end.replace_all_uses_with(back, delete_user_cb=lambda user: user is not back)


def _in_half(module: torch.fx.GraphModule, constant: Any) -> Any:
    """The constant in float16: itself where nothing else reads it, else through a cast."""
    value = attribute(module, constant.target).detach().half()
    if not torch.isfinite(value).all():
        raise UserError(f"keep_half: {constant.target} has values that float16 does not hold; leave its layer out")
    if len(constant.users) > 1:
        return constant.graph.call_function(_TO, (constant, torch.float16))
    put_parameter(module, constant.target, value)
    return constant
