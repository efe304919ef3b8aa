"""Remove channels from a module, in place, by torch-pruning's graph of what hangs together; and do it again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from seatrial_targets.errors import ModelError

from ...exporters.blame import user_frame
from ...source import evaluating
from .choice import Choice, Cut

HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head", "heads", "nhead")
WIDTHS = ("all_head_size", "inner_dim", "attention_head_size_total")


def cut_channels(
    module: torch.nn.Module, cut: Cut, estimator: Any, inputs: Mapping[str, torch.Tensor], positional: bool
) -> dict[str, Any]:
    """Remove channels in place and return the edit that does the same again (see `replay`).

    Raises ModelError when the module can't be traced, or does not run any more.
    """
    with _tracing(module, positional):
        choice = Choice(module, cut, estimator, _example(inputs, positional))
        heads_left = choice.remove_heads()
        choice.remove_channels()
    attributes = _set_head_counts(module, cut.heads, heads_left)
    history = [[name, bool(out), [int(i) for i in indices]] for name, out, indices in choice.graph.pruning_history()]
    _check_runs(module, inputs, positional)
    return {"edit": "prune_channels", "positional": positional, "history": history, "attributes": attributes}


def replay(module: torch.nn.Module, edit: Mapping[str, Any], inputs: Mapping[str, torch.Tensor]) -> torch.nn.Module:
    """Remove the channels that ``edit`` names from ``module``, in place, and return it."""
    import torch_pruning

    positional = bool(edit["positional"])
    with _tracing(module, positional):
        graph = torch_pruning.DependencyGraph()
        graph.build_dependency(module, _example(inputs, positional))
        graph.load_pruning_history([tuple(entry) for entry in edit["history"]])
    for path, name, value in edit["attributes"]:
        setattr(module.get_submodule(path), name, value)
    return module


def channel_counts(module: torch.nn.Module) -> dict[str, int]:
    """Return how many channels each layer gives, by its path."""
    found = {}
    for name, each in module.named_modules():
        count = getattr(each, "out_channels", getattr(each, "out_features", None))
        if isinstance(count, int):
            found[name] = count
    return found


def _example(inputs: Mapping[str, torch.Tensor], positional: bool) -> Any:
    return tuple(inputs.values()) if positional else dict(inputs)


@contextmanager
def _tracing(module: torch.nn.Module, positional: bool) -> Iterator[None]:
    """torch-pruning follows gradients back: all parameters need one, and gradients must be on."""
    frozen = [each for each in module.parameters() if not each.requires_grad]
    for each in frozen:
        each.requires_grad_(True)
    try:
        with warnings.catch_warnings(), torch.enable_grad(), evaluating(module):
            warnings.simplefilter("ignore")  # on parameters without a module of their own, which it then handles
            yield
    except ModelError:
        raise
    except Exception as error:
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"{user_frame(error, module)}: which channels hang together can't be found: {text}") from error
    finally:
        for each in frozen:
            each.requires_grad_(False)


def _set_head_counts(module: torch.nn.Module, before: Mapping[str, int], after: Mapping[str, int]) -> list[list[Any]]:
    """Tell the modules that own pruned heads how many are left; return (path, attribute, value)."""
    changed: dict[tuple[str, str], int] = {}
    for path, old in before.items():
        new = after[path]
        owner = path.rpartition(".")[0]
        holder = module.get_submodule(owner)
        for attribute in HEAD_COUNTS:
            if new != old and getattr(holder, attribute, None) == old:
                changed[owner, attribute] = new
        for attribute in WIDTHS:
            width = getattr(holder, attribute, None)
            if new != old and isinstance(width, int) and width % old == 0:
                changed[owner, attribute] = width // old * new
    for (owner, attribute), value in changed.items():
        setattr(module.get_submodule(owner), attribute, value)
    return [[owner, attribute, value] for (owner, attribute), value in changed.items()]


def _check_runs(module: torch.nn.Module, inputs: Mapping[str, torch.Tensor], positional: bool) -> None:
    with torch.no_grad(), evaluating(module):
        try:
            module(*inputs.values()) if positional else module(**inputs)
        except Exception as error:
            text = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise ModelError(
                f"{user_frame(error, module)}: does not run after pruning: {text}; its code counts on the number of "
                "channels: put the layers before it into `keep`, or name attention heads in `heads`"
            ) from error
