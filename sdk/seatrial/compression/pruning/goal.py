"""How much must go until a goal is met: the least amount, by bisection on copies of the model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from seatrial_targets.errors import UserError
from seatrial_targets.units import format_duration, format_size

from ..figures import count_macs, size_bytes, weights
from .settings import Goal

if TYPE_CHECKING:
    from ..record import Latency
    from ..state import CompressionState

CHEAP_LOOKS, DEAR_LOOKS = 9, 5  # bisections; 1/512 of the amount, and with measuring, which takes long, 1/32
Attempt = Callable[[torch.nn.Module, float], Any]


class GoalSearch:
    """Looks for the least amount that meets ``goal``. ``most`` is the largest that there is. ``limit``: what the goal
    comes to, where a part of the model as it is now is not what is meant."""

    def __init__(self, state: CompressionState, goal: Goal, most: float, limit: float | None = None) -> None:
        if goal.metric == "latency" and state.bench is None:
            raise UserError("until latency: needs a device to measure on; give --device NAME and a target")
        self._state, self._goal, self._most = state, goal, most
        self.tried: list[dict[str, Any]] = []
        self.before = self._measured(state.module)
        # A part of what the model takes now is a part of its median: noise in its upper end would make the goal easy.
        typical = self.tried[0].get("p50_ns", self.before)
        self.limit = limit or (goal.limit if goal.limit > 1 else goal.limit * typical)

    def least(self, attempt: Attempt, low: float = 0.0) -> float:
        """Return the amount, above ``low``; ``attempt(module, amount)`` prunes a copy of the model in place.

        Raises UserError when not even the most meets the goal, or when it is met already.
        """
        if self.before <= self.limit:
            raise UserError(
                f"until {self._told(self.limit)}: the model is there already, at {self._told(self.before)}; nothing "
                "would be pruned"
            )
        high = max(low, self._most)
        if (reached := self._try(attempt, high)) > self.limit:
            raise UserError(
                f"until {self._told(self.limit)}: can't be met: with {high:.0%} of the channels gone it is still "
                f"{self._told(reached)}; protect fewer layers, raise `most`, or choose another goal"
            )
        for _ in range(DEAR_LOOKS if self._goal.metric == "latency" else CHEAP_LOOKS):
            middle = (low + high) / 2
            low, high = (low, middle) if self._try(attempt, middle) <= self.limit else (middle, high)
        return high

    def _try(self, attempt: Attempt, amount: float) -> float:
        candidate = copy.deepcopy(self._state.module)
        attempt(candidate, amount)
        reached = self._measured(candidate, amount)
        return reached

    def _measured(self, module: torch.nn.Module, amount: float = 0.0) -> float:
        source = self._state.source
        figures: dict[str, Callable[[], float]] = {
            "macs": lambda: count_macs(module, dict(source.inputs), source.positional),
            "parameters": lambda: sum(each.numel() for each in weights(module)),
            "size": lambda: size_bytes(module),
            "latency": lambda: self._latency(module, amount),
        }
        value = float(figures[self._goal.metric]())
        if self._goal.metric != "latency":
            self.tried.append({"amount": round(amount, 4), self._goal.metric: value})
        return value

    def _latency(self, module: torch.nn.Module, amount: float) -> float:
        """The upper end of the interval: what is met must be met surely."""
        from ..latency import bench_source

        bench = self._state.bench
        if bench is None:
            raise UserError("latency can't be measured without a device")
        self._state.tell(f"measure with {amount:.0%} of the channels gone")
        source = self._state.as_source(module=module)
        found = bench_source(source, bench.targets[0], bench)
        self.tried.append({"amount": round(amount, 4), **found.model_dump()})
        return _surely(found)

    def _told(self, value: float) -> str:
        shown = {"latency": format_duration, "size": format_size}.get(self._goal.metric)
        return f"{self._goal.metric} {shown(value) if shown else f'{value:,.0f}'}"


def _surely(latency: Latency) -> float:
    value = latency.high_ns if latency.high_ns is not None else latency.p50_ns
    if value is None:
        raise UserError(f"{latency.device}: latency as {latency.target} was not measured: {latency.reason}")
    return float(value)
