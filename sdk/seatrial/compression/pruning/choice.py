"""Which channels and heads go: the least important, in each layer or over all, in numbers that kernels like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Cut:
    """What to remove from a module: a part of the channels of all layers, or of some, and of the heads.

    ``heads``: path -> number of heads. ``ignored``: paths of layers whose channels stay.
    """

    amount: float
    layers: Mapping[str, float] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    scope: str = "local"
    most: float = 0.9
    round_to: int = 1
    heads: Mapping[str, int] = field(default_factory=dict)
    head_amount: float = 0.0


@dataclass
class Group:
    """Channels that hang together: those of ``root``, in ``parts`` equal parts that must stay equal (grouped
    convolutions, group norms). ``scores``: one for each channel of a part."""

    root: Any
    prune: Any
    paths: tuple[str, ...]
    parts: int
    scores: torch.Tensor
    left: float = 0.0  # channels of all parts that shall stay

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return len(self.scores) * self.parts


class Choice:
    """Removes what ``cut`` says from ``module``, in place, by the scores of ``estimator``."""

    def __init__(self, module: torch.nn.Module, cut: Cut, estimator: Any, example: Any) -> None:
        import torch_pruning

        self.cut, self.estimator = cut, estimator
        self.names = {each: name for name, each in module.named_modules()}
        named = dict(module.named_modules())
        self.heads = {named[path]: count for path, count in cut.heads.items()}
        # Its constructor traces the model and finds the grouped layers. Its defaults are shared between all pruners.
        self.pruner = torch_pruning.pruner.BasePruner(
            module, example, estimator, pruning_ratio=0.0, in_channel_groups={}, out_channel_groups={},
            num_heads=dict(self.heads), ignored_layers=[named[path] for path in cut.ignored],
        )  # fmt: skip
        self.graph: Any = self.pruner.DG

    def remove_heads(self) -> dict[str, int]:
        """Remove the least important heads; return how many are left in each layer that has heads."""
        left = {path: count - round(count * self.cut.head_amount) for path, count in self.cut.heads.items()}
        for group in self._groups():
            layers = self.pruner._is_atten_group(group)[1]
            if layers and self.cut.head_amount > 0:
                self._remove_heads(group, self.heads[layers[0]], left[self.names[layers[0]]])
        return left

    def _remove_heads(self, group: Any, count: int, left: int) -> None:
        # The layer behind attention has one input for each value; queries and keys map onto those.
        behind = self.pruner._downstream_node_as_root_if_attention(group)
        scores = self.estimator(behind) if behind is not None else None
        if scores is None or len(scores) % count:
            return
        size = len(scores) // count
        worst = scores.reshape(count, size).mean(dim=1).argsort()[: count - left]
        indices = [int(head) * size + i for head in worst for i in range(size)]
        root = behind[0].dep.target.module
        self._prune(root, behind[0].dep.handler, sorted(indices))

    def remove_channels(self) -> None:
        """Remove the least important channels."""
        groups = [made for group in self._groups() if (made := self._read(group)) is not None]
        own = [group for group in groups if self._share(group) is not None]
        for group in own:
            group.left = group.channels * (1 - float(self._share(group) or 0.0))
        self._rank([group for group in groups if self._share(group) is None])
        for group in groups:
            self._remove(group)

    def _read(self, group: Any) -> Group | None:
        if self.pruner._is_atten_group(group)[0]:
            return None  # widths of heads stay: code counts on them
        scores = self.estimator(group)
        if scores is None:
            return None  # nothing in it that the estimator looks at
        parts = int(self.pruner._get_channel_groups(group))
        outward = [each.dep.target.module for each in group if self.graph.is_out_channel_pruning_fn(each.dep.handler)]
        paths = tuple(self.names[each] for each in outward if each in self.names)
        mean = scores.reshape(parts, -1).mean(dim=0)
        return Group(group[0].dep.target.module, group[0].dep.handler, paths, parts, mean)

    def _share(self, group: Group) -> float | None:
        """The part that is set for one of its layers."""
        return next((self.cut.layers[path] for path in group.paths if path in self.cut.layers), None)

    def _rank(self, groups: Sequence[Group]) -> None:
        if self.cut.scope == "local" or not groups:
            for group in groups:
                group.left = group.channels * (1 - self.cut.amount)
            return
        scores = torch.cat([group.scores for group in groups])
        gone = round(len(scores) * self.cut.amount)
        limit = scores.sort().values[gone - 1] if gone else -math.inf
        for group in groups:
            group.left = float((group.scores > limit).sum()) * group.parts

    def _remove(self, group: Group) -> None:
        multiple = math.lcm(self.cut.round_to, group.parts)
        left = rounded(group.left, group.channels, multiple, self.cut.most) // group.parts
        worst = group.scores.argsort()[: len(group.scores) - left]
        indices = [int(i) + part * len(group.scores) for part in range(group.parts) for i in worst]
        if indices:
            self._prune(group.root, group.prune, sorted(indices))

    def _prune(self, root: Any, prune: Any, indices: list[int]) -> None:
        found = self.graph.get_pruning_group(root, prune, indices)
        if self.graph.check_pruning_group(found):
            found.prune()

    def _groups(self) -> list[Any]:
        ignored, kinds = self.pruner.ignored_layers, self.pruner.root_module_types
        return list(self.graph.get_all_groups(ignored_layers=ignored, root_module_types=kinds))


def rounded(wanted: float, current: int, multiple: int, most: float) -> int:
    """Return the multiple nearest to ``wanted``, at least one of them and at least what ``most`` leaves of
    ``current``; a layer that is no multiple itself, or smaller, keeps its count rather than growing."""
    least = max(1, math.ceil(round(current * (1 - most), 6)))
    nearest = max(multiple, math.floor(wanted / multiple + 0.5) * multiple, -(-least // multiple) * multiple)
    return min(nearest, current)
