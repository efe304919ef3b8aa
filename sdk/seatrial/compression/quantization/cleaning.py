"""What convert_pt2e leaves to be done: no float copies of weights, and constants named like their layers' weights."""

from __future__ import annotations

from typing import Any

import torch

from ..quantized_program import LIBRARY
from .quantizer import layer_nodes, layer_path


def cleaned(module: torch.fx.GraphModule) -> torch.fx.GraphModule:
    """Return ``module``, changed in place: see quantized_program.py for the names."""
    graph: Any = module.graph
    graph.eliminate_dead_code()
    for node in layer_nodes(graph):
        dequantize = node.args[1]
        path = layer_path(node)
        # A weight of the model itself, not of a layer in it, lost its name when it was folded: it keeps the new one.
        named = bool(path) and not isinstance(getattr(module, path, None), torch.Tensor)
        if str(getattr(dequantize, "target", "")).startswith(f"{LIBRARY}.dequantize") and named:
            _rename_all(module, dequantize, f"{path}.weight")
    _drop_unread(module)
    module.recompile()
    for parameter in module.parameters():
        parameter.requires_grad_(False)
    return module


def _rename_all(module: torch.fx.GraphModule, dequantize: Any, name: str) -> None:
    endings = ("", "_scale", "_zero_point")
    for argument, ending in zip(dequantize.args, endings, strict=False):
        if getattr(argument, "op", "") == "get_attr" and "." not in argument.target:
            _rename(module, argument, f"{name}{ending}")


def _rename(module: torch.fx.GraphModule, node: Any, name: str) -> None:
    put_buffer(module, name, attribute(module, node.target).detach())
    node.target = name


def put_buffer(module: torch.nn.Module, name: str, value: torch.Tensor) -> None:
    """Put a buffer at a path, in the place of what is there."""
    place, leaf = _cleared(module, name)
    place.register_buffer(leaf, value)


def put_parameter(module: torch.nn.Module, name: str, value: torch.Tensor) -> None:
    """Put a parameter that is not trained at a path, in the place of what is there."""
    place, leaf = _cleared(module, name)
    place.register_parameter(leaf, torch.nn.Parameter(value, requires_grad=False))


def _cleared(module: torch.nn.Module, name: str) -> tuple[torch.nn.Module, str]:
    parent, _, leaf = name.rpartition(".")
    place = _made_submodule(module, parent)
    if hasattr(place, leaf):
        delattr(place, leaf)
    return place, leaf


def _made_submodule(module: torch.nn.Module, path: str) -> torch.nn.Module:
    for part in filter(None, path.split(".")):
        if not hasattr(module, part):
            module.add_module(part, torch.nn.Module())
        module = getattr(module, part)
    return module


def attribute(module: torch.nn.Module, path: str) -> Any:
    """Return a parameter or buffer by its path."""
    parent, _, leaf = path.rpartition(".")
    return getattr(module.get_submodule(parent), leaf)


def _drop_unread(module: torch.fx.GraphModule) -> None:
    read = {node.target for node in module.graph.nodes if node.op == "get_attr"}
    tensors = [name for name, _ in (*module.named_parameters(), *module.named_buffers())]
    for name in tensors:
        if name not in read:
            parent, _, leaf = name.rpartition(".")
            delattr(module.get_submodule(parent), leaf)
