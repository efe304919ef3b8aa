"""The step `fuse_attention`: softmax(scale q k^T + mask) v becomes one operator in the captured graph."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import Any

import torch

from ..capture import capture_batched
from ..state import CompressionState, set_training
from ..step import Outcome, Step
from .settings import FuseAttention

_ATEN = torch.ops.aten
_PRODUCTS = (_ATEN.matmul.default, _ATEN.bmm.default)
_SOFTMAX = (_ATEN.softmax.int, _ATEN._softmax.default)
_PASSING = (_ATEN.dropout.default, _ATEN.clone.default, _ATEN.contiguous.default, _ATEN.to.dtype)  # in eval mode
_TRANSPOSING = (_ATEN.transpose.int,)


class FuseAttentionStep(Step[FuseAttention]):
    """Carries `FuseAttention` out."""

    def apply(self, state: CompressionState) -> Outcome:
        """Replace the module by its captured graph with fused attention, when there is any to fuse."""
        graph_module: Any = capture_batched(state.as_source()).program.module()
        found = [match for node in list(graph_module.graph.nodes) if (match := _matched(node)) is not None]
        for match in found:
            _fuse(graph_module.graph, match)
        graph_module.recompile()
        set_training(graph_module, False)
        state.module, state.form = graph_module, "captured"
        told = f"{len(found)} attentions fused" if found else "there was no attention to fuse"
        return Outcome((told,))


@dataclass(frozen=True)
class Attention:
    """Nodes of one attention: ``last`` is the product whose value it is."""

    q: Any
    k: Any  # (..., keys, width)
    v: Any
    mask: Any
    scale: float
    last: Any


def _matched(last: Any) -> Attention | None:
    """The attention that ends in the product ``last``, or None."""
    if last.target not in _PRODUCTS:
        return None
    softmax = _through(last.args[0])
    if softmax.target not in _SOFTMAX or not _is_last_axis(softmax) or len(softmax.users) != 1:
        return None
    scores, mask = _without_mask(_through(softmax.args[0]))
    product, scale = _without_scale(scores)
    if product.target not in _PRODUCTS or len(product.users) != 1:
        return None
    keys = _transposed(product.args[1])
    q, factor = _without_scale(product.args[0])
    if keys is None:
        return None
    if _shape(q) is None or len(_shape(q) or ()) < 3:
        return None
    return Attention(q, keys, last.args[1], mask, scale * factor, last)


def _through(node: Any) -> Any:
    while node.target in _PASSING and len(node.users) == 1:
        node = node.args[0]
    return node


def _is_last_axis(softmax: Any) -> bool:
    axis, shape = softmax.args[1], _shape(softmax)
    return axis == -1 or (shape is not None and axis == len(shape) - 1)


def _without_mask(node: Any) -> tuple[Any, Any]:
    if node.target != _ATEN.add.Tensor or len(node.users) != 1:
        return node, None
    first, second = node.args[:2]
    if not isinstance(second, torch.fx.Node) or node.kwargs.get("alpha", 1) != 1:
        return node, None
    # What is masked is the product (perhaps scaled); the mask is anything else.
    for scores, mask in ((first, second), (second, first)):
        if _without_scale(scores)[0].target in _PRODUCTS:
            return scores, mask
    return node, None


def _without_scale(node: Any) -> tuple[Any, float]:
    """The node before a product with, or a quotient by, a number; and that number as a factor."""
    if node.target in (_ATEN.mul.Tensor, _ATEN.div.Tensor) and len(node.users) == 1:
        value = node.args[1]
        if isinstance(value, int | float) and value:
            inside, factor = _without_scale(node.args[0])
            return inside, factor * float(value if node.target == _ATEN.mul.Tensor else operator.truediv(1, value))
    return node, 1.0


def _transposed(node: Any) -> Any:
    """What the last two axes were swapped of, or None."""
    shape = _shape(node)
    if node.target not in _TRANSPOSING or shape is None:
        return None
    axes = {axis % len(shape) for axis in node.args[1:3]}
    return node.args[0] if axes == {len(shape) - 1, len(shape) - 2} else None


def _shape(node: Any) -> tuple[Any, ...] | None:
    value = getattr(node, "meta", {}).get("val")
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def _fuse(graph: Any, found: Attention) -> None:
    with graph.inserting_before(found.last):
        fused = graph.call_function(
            _ATEN.scaled_dot_product_attention.default,
            (found.q, found.k, found.v, found.mask),
            {"scale": found.scale},
        )
    fused.meta = dict(found.last.meta)
    found.last.replace_all_uses_with(fused)
    _erase_unread(graph, found.last)


def _erase_unread(graph: Any, node: Any) -> None:
    # Not left to dead code elimination: that keeps dropout, which might draw random numbers.
    if node.users or node.op != "call_function":
        return
    inputs = list(node.all_input_nodes)
    graph.erase_node(node)
    for each in inputs:
        _erase_unread(graph, each)
