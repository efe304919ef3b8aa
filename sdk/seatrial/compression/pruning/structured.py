"""The step `prune`: remove channels and heads, in rounds, with training between."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from seatrial_targets.errors import UserError

from ..state import CompressionState, select
from ..step import Outcome, Step
from .channels import channel_counts, cut_channels
from .choice import Cut
from .goal import GoalSearch
from .importance import Gradients, estimator
from .multiples import multiple_for
from .protected import output_layers
from .rounds import RoundLog
from .settings import Prune


@dataclass(frozen=True)
class Reach:
    """From which part of all channels to which a round goes (``gone``, ``wanted``), and from which part to which of
    the parts that are set for single layers."""

    gone: float
    wanted: float
    part_before: float = 0.0
    part_after: float = 1.0


class PruneStep(Step[Prune]):
    """Carries `Prune` out."""

    def __init__(self, settings: Prune) -> None:
        super().__init__(settings)
        self.gradients = Gradients(settings)

    def check(self, state: CompressionState) -> None:
        """Find every layer that is named; a device must be there for a goal of latency."""
        named = _names(state)
        select((*self.settings.layers, *self.settings.keep, *self.settings.heads), named, "layer")
        if self.settings.until is not None and self.settings.until.metric == "latency" and state.bench is None:
            raise UserError("until latency: needs a device to measure on; give --device NAME and a target")

    def apply(self, state: CompressionState) -> Outcome:
        """Remove channels in place. Raises UserError when nothing would go, ModelError when the model breaks."""
        before = channel_counts(state.module)
        ignored = tuple(dict.fromkeys((*output_layers(state.as_source()), *self._kept(state))))
        log = RoundLog.resumed(state)
        amount, search = self._amount(state, ignored, log)
        parts = [0.0, *self.settings.parts()]
        log.prepare(state, self.settings, self._pulled(state))
        if self.settings.penalty is not None:
            self.gradients.forget()
        for index in range(log.done, self.settings.rounds):
            state.tell("prune", index, self.settings.rounds)
            reach = Reach(amount * parts[index], amount * parts[index + 1], parts[index], parts[index + 1])
            log.add(self._cut(state, state.module, ignored, self._ended(state, ignored, reach, log, search)))
            log.train(state, self.settings, self._pulled(state))
            self.gradients.forget()
            log.keep(state)
        state.edits += log.edits
        return self._outcome(before, channel_counts(state.module), amount, search, ignored)

    def _cut(
        self,
        state: CompressionState,
        module: torch.nn.Module,
        ignored: tuple[str, ...],
        reach: Reach,
    ) -> dict[str, Any]:
        """Remove from ``module`` what ``reach`` says; heads go at the first time."""
        settings, named = self.settings, _names(state)
        heads = {
            path: count for pattern, count in settings.heads.items() for path in select((pattern,), named, "layer")
        }
        first = reach.part_before == 0.0
        cut = Cut(
            amount=_of_the_rest(reach.gone, reach.wanted),
            layers={
                path: _of_the_rest(share * reach.part_before, share * reach.part_after)
                for path, share in self._per_layer(named).items()
            },
            ignored=ignored if first else (*ignored, *heads),
            scope=settings.scope,
            most=settings.most,
            round_to=multiple_for(state.targets) if settings.round_to == "auto" else settings.round_to,
            heads=heads if first else {},
            head_amount=settings.head_amount if first else 0.0,
        )
        self.gradients.put(module, state)
        return cut_channels(module, cut, estimator(settings), state.source.inputs, state.source.positional)

    def _pulled(self, state: CompressionState) -> tuple[str, ...]:
        """The parameters that a penalty pulls towards 0."""
        norms, layers = torch.nn.modules.batchnorm._BatchNorm, (torch.nn.modules.conv._ConvNd, torch.nn.Linear)
        kinds = norms if self.settings.importance == "batch_norm" else layers
        return tuple(f"{path}.weight" for path in state.layers(*(kinds if isinstance(kinds, tuple) else (kinds,))))

    def _per_layer(self, named: list[str]) -> dict[str, float]:
        chosen: dict[str, float] = {}
        for pattern, share in self.settings.layers.items():
            chosen |= dict.fromkeys(select((pattern,), named, "layer"), share)
        return chosen

    def _kept(self, state: CompressionState) -> list[str]:
        return select(self.settings.keep, _names(state), "layer") if self.settings.keep else []

    def _amount(
        self, state: CompressionState, ignored: tuple[str, ...], log: RoundLog
    ) -> tuple[float, GoalSearch | None]:
        if log.amount is not None:
            return log.amount, None
        if self.settings.until is None:
            log.amount = self.settings.amount or 0.0
            return log.amount, None
        search = GoalSearch(state, self.settings.until, self.settings.most)
        log.amount = search.least(lambda module, amount: self._cut(state, module, ignored, Reach(0.0, amount)))
        log.limit = search.limit
        log.write(state)  # measured again after an interruption, a latency might ask for another amount
        return log.amount, search

    def _ended(
        self, state: CompressionState, ignored: tuple[str, ...], reach: Reach, log: RoundLog, search: GoalSearch | None
    ) -> Reach:
        """Return ``reach``, in the last of several rounds with the amount that meets the goal from where the model is
        now: earlier rounds have chosen other channels than one cut would have, and rounded their numbers."""
        if self.settings.until is None or log.limit is None or log.done == 0 or reach.part_after < 1.0:
            return reach
        if log.last is None:
            last = GoalSearch(state, self.settings.until, self.settings.most, limit=log.limit)
            log.last = reach.gone
            if last.before > last.limit:
                log.last = last.least(
                    lambda module, amount: self._cut(state, module, ignored, replace(reach, wanted=amount)), reach.gone
                )
            log.write(state)
            if search is not None:
                search.tried += last.tried
        return replace(reach, wanted=log.last)

    def _outcome(
        self,
        before: dict[str, int],
        after: dict[str, int],
        amount: float,
        search: GoalSearch | None,
        ignored: tuple[str, ...],
    ) -> Outcome:
        changed = {path: [before[path], after[path]] for path in before if after.get(path) != before[path]}
        if not changed:
            raise UserError(
                "nothing was pruned: the amount is less than one step of round_to in every layer, or all layers are "
                "protected; prune more, or round to fewer channels"
            )
        gone = sum(old - new for old, new in changed.values())
        notes = [f"{gone} channels of {sum(before.values())} removed, in {len(changed)} layers"]
        notes += [f"{amount:.1%} of the channels was the least that met the goal"] if search is not None else []
        details: dict[str, Any] = {"channels": changed, "amount": amount, "protected": list(ignored)}
        details |= {"tried": search.tried} if search is not None else {}
        return Outcome(tuple(notes), details)


def _of_the_rest(gone: float, wanted: float) -> float:
    """Return which part of what is left must go, so that ``wanted`` of the whole is gone."""
    return max(0.0, 1 - (1 - wanted) / (1 - gone))


def _names(state: CompressionState) -> list[str]:
    return [name for name, _ in state.module.named_modules() if name]
