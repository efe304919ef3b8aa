"""Settings of pruning single weights."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from seatrial_targets.units import Ratio

from .settings import Pattern, Rounds, Share

Method = Literal["magnitude", "random", "wanda", "sparsegpt"]
WITH_DATA = ("wanda", "sparsegpt")


class PruneWeights(Rounds):
    """Unstructured and semi-structured pruning: set single weights of convolutions and linear layers to 0, and hold
    them there through all training that follows.

    ``method``: "magnitude" (the smallest), "random", "wanda" (weight times the norm of its input: Sun et al., 2023), or
    "sparsegpt" (the same with the curvature, and what is left makes up for what went: Frantar and Alistarh, 2023); the
    last two look at ``samples`` calibration samples. ``pattern``: "unstructured", or "2:4": two of each four weights
    along the input channels, which NVIDIA GPUs since Ampere can skip. ``amount``: the part that goes (of "2:4" always
    half), in each layer ("local") or the smallest over all ("global", by magnitude or at random); ``layers`` sets it
    for some. ``keep``: layers that stay whole.
    """

    kind: ClassVar[str] = "prune_weights"
    method: Method = "magnitude"
    pattern: Literal["unstructured", "2:4"] = "unstructured"
    amount: Share | None = None
    scope: Literal["local", "global"] = "local"
    layers: dict[Pattern, Annotated[Ratio, Field(lt=1)]] = Field(default_factory=dict)
    keep: tuple[Pattern, ...] = ()
    samples: Annotated[int, Field(ge=1, le=100_000)] = 32

    @model_validator(mode="after")
    def _asks(self) -> PruneWeights:
        if self.pattern == "2:4":
            self._check_pattern()
        elif self.amount is None and not self.layers:
            raise ValueError("prunes nothing: give an amount, or layers with theirs")
        if self.scope == "global" and (self.method in WITH_DATA or self.pattern == "2:4" or self.layers):
            raise ValueError("scope global ranks all weights by magnitude (or at random), without 2:4 and layers")
        return self

    def _check_pattern(self) -> None:
        if self.amount is not None or self.layers:
            raise ValueError("2:4 always takes half: leave amount and layers out, or choose pattern unstructured")
        if self.rounds > 1:
            raise ValueError("2:4 is reached in one round; leave rounds out (finetune may stay)")

    @property
    def needs(self) -> tuple[str, ...]:
        """Calibration data for methods that look at inputs, training data for training."""
        calibration = ("calibration",) if self.method in WITH_DATA else ()
        return (*calibration, *(("train",) if self.finetune is not None else ()))
