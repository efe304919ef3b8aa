"""Run a captured graph node by node on many samples at once, so that a layer can be changed before the next sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch

from .quantizer import layer_nodes

Batch = Sequence[torch.Tensor]  # one tensor for each input of the graph
Batches = Sequence[Batch]


class Visitor(Protocol):
    """What is called at each layer with weights."""

    def before(self, node: Any, inputs: list[torch.Tensor]) -> None:
        """The layer's inputs are known, one tensor for each batch; its weights may be changed now."""
        ...

    def after(self, node: Any, outputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the outputs that the layers behind it shall see."""
        ...


def walk(module: torch.fx.GraphModule, batches: Batches, visitor: Visitor | None = None) -> list[list[torch.Tensor]]:
    """Return, for each batch, the graph's output tensors. Values are dropped after their last reader.

    Observers are passed over. Without gradients.
    """
    layers = set(layer_nodes(module.graph)) if visitor is not None else set()
    run = _Run(module, batches)
    with torch.no_grad():
        for node in module.graph.nodes:
            if node.op == "output":
                return run.results(node)
            if visitor is not None and node in layers:
                visitor.before(node, run.values[node.args[0]])
                run.refresh(node.args[1])
                run.values[node] = visitor.after(node, run.computed(node))
            else:
                run.values[node] = run.computed(node)
            run.drop_unread(node)
    return []


class _Run:
    """Values of nodes, a list with an entry for each batch."""

    def __init__(self, module: torch.fx.GraphModule, batches: Batches) -> None:
        self.module, self.batches = module, batches
        self.values: dict[Any, list[Any]] = {}
        nodes = [node for node in module.graph.nodes if node.op == "placeholder"]
        self.inputs = {node: place for place, node in enumerate(nodes)}
        last = {each: node for node in module.graph.nodes for each in node.all_input_nodes}
        self.done_after: dict[Any, list[Any]] = {}
        for each, node in last.items():
            self.done_after.setdefault(node, []).append(each)

    def computed(self, node: Any) -> list[Any]:
        """Return the node's value for each batch; those that it reads must have been computed."""
        if node.op == "placeholder":
            return [batch[self.inputs[node]] for batch in self.batches]
        if node.op == "get_attr":
            return [self._attribute(node.target)] * len(self.batches)
        if node.op == "call_module":
            return self._passed(node)
        return [node.target(*args, **kwargs) for args, kwargs in (self._arguments(node, i) for i in self._indices)]

    def refresh(self, weight: Any) -> None:
        """Compute the layer's weight again, from attributes that may have been changed since."""
        kept = self.values
        self.values = {each: self.computed(each) for each in weight.all_input_nodes if each.op == "get_attr"}
        again = self.computed(weight) if len(self.values) == len(weight.all_input_nodes) else kept[weight]
        self.values = kept
        self.values[weight] = again

    def results(self, node: Any) -> list[list[torch.Tensor]]:
        """Return the tensors among the node's arguments, for each batch."""
        flat = [torch.utils._pytree.tree_leaves(self._arguments(node, i)[0]) for i in self._indices]
        return [[each for each in leaves if isinstance(each, torch.Tensor)] for leaves in flat]

    def drop_unread(self, node: Any) -> None:
        """Free the values that nobody reads after this node."""
        for each in self.done_after.get(node, ()):
            self.values.pop(each, None)

    @property
    def _indices(self) -> range:
        return range(len(self.batches))

    def _arguments(self, node: Any, index: int) -> Any:
        return torch.fx.node.map_arg((node.args, node.kwargs), lambda each: self.values[each][index])

    def _passed(self, node: Any) -> list[Any]:
        # An observer gives what it gets; torch.export's own check of the inputs gives nothing.
        return self.values[node.args[0]] if node.target != "_guards_fn" else [None] * len(self.batches)

    def _attribute(self, path: str) -> Any:
        found: Any = self.module
        for part in path.split("."):
            found = getattr(found, part)
        return found
