"""What modules inside a model answer, by their names: for modules by hooks, for captured graphs by an interpreter."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import fx, nn
from torch.utils._pytree import tree_leaves

from seatrial_targets.errors import ModelError, UnknownNameError

from ..training.batches import Batch

_INDEXED = re.compile(r"(.*)\[(\d+)\]")


class Taps:
    """Where in a model the named modules answer. ``names``: as in `FeaturePair`.

    Holds no reference to the model, so that it serves its copies, too. A captured graph (torch.export, PT2E) has no
    modules left; there the answer of module `a.b` is that of the last operation that came from it. Raises
    UnknownNameError, with the nearest name, for a module that is not there.
    """

    def __init__(self, module: nn.Module, names: Iterable[str], whose: str = "the model") -> None:
        self._whose = whose
        self._names = list(dict.fromkeys(names))
        captured = isinstance(module, fx.GraphModule)
        places = _node_places(module) if captured else {name: name for name, _ in module.named_modules() if name}
        self._places = {name: _place(name, places, whose) for name in self._names}

    def call(self, module: nn.Module, batch: Batch) -> tuple[Any, dict[str, torch.Tensor]]:
        """Return the outputs of the model and the answers of the named modules."""
        if not self._names:
            return batch.call(module), {}
        if isinstance(module, fx.GraphModule):
            outputs, kept = self._interpreted(module, batch)
        else:
            outputs, kept = self._hooked(module, batch)
        return outputs, {name: self._picked(name, kept) for name in self._names}

    def _hooked(self, module: nn.Module, batch: Batch) -> tuple[Any, dict[str, Any]]:
        kept: dict[str, Any] = {}
        handles = [
            module.get_submodule(place).register_forward_hook(partial(_keep, kept, place))
            for place in {place for place, _ in self._places.values()}
        ]
        try:
            return batch.call(module), kept
        finally:
            for handle in handles:
                handle.remove()

    def _interpreted(self, module: fx.GraphModule, batch: Batch) -> tuple[Any, dict[str, Any]]:
        wanted = {place for place, _ in self._places.values()}
        interpreter = _Interpreter(module, wanted)
        return interpreter.run(*batch.args, *batch.kwargs.values()), interpreter.kept

    def _picked(self, name: str, kept: Mapping[str, Any]) -> torch.Tensor:
        place, index = self._places[name]
        if place not in kept:
            raise ModelError(f"module {name!r} of {self._whose} is not called in forward; name another")
        tensors = [each for each in tree_leaves(kept[place]) if isinstance(each, torch.Tensor)]
        if index >= len(tensors):
            raise ModelError(f"module {name!r} of {self._whose} returns {len(tensors)} tensors; the first is [0]")
        return tensors[index]


class _Interpreter(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, wanted: set[str]) -> None:
        super().__init__(module)
        self._wanted = wanted
        self.kept: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.name in self._wanted:
            self.kept[n.name] = value
        return value


def _keep(kept: dict[str, Any], place: str, module: nn.Module, inputs: Any, output: Any) -> None:
    kept[place] = output


def _node_places(module: fx.GraphModule) -> dict[str, str]:
    """The last node of each module that the graph was captured from, by the module's path."""
    found: dict[str, str] = {}
    for node in module.graph.nodes:
        if node.op == "call_function":
            for path, _ in (node.meta.get("nn_module_stack") or {}).values():
                if path:
                    found[_path(path)] = node.name
    return found


def _path(path: str) -> str:
    """torch.export writes `L['self'].layer1[0].conv` for what the user calls `layer1.0.conv`."""
    return re.sub(r"\[(\d+)\]", r".\1", path.removeprefix("L['self'].")).strip(".")


def _place(name: str, places: Mapping[str, str], whose: str) -> tuple[str, int]:
    indexed = _INDEXED.fullmatch(name)
    path, index = (indexed[1], int(indexed[2])) if indexed else (name, 0)
    if path not in places:
        raise UnknownNameError(f"module of {whose}", path, places, "`named_modules()` lists them")
    return places[path], index
