"""Settings of the steps that prune."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from seatrial_targets.errors import UserError
from seatrial_targets.spec import Spec
from seatrial_targets.units import Ratio, duration_ns, ratio, size_bytes

from ..settings import StepSettings
from ..training.settings import Training

Pattern = Annotated[str, Field(min_length=1, max_length=300)]
Share = Annotated[Ratio, Field(gt=0, lt=1)]
Importance = Literal["l1", "l2", "batch_norm", "taylor", "random"]
MOST_ROUNDS = 50


def _part_or(parse: Any, example: str) -> BeforeValidator:
    """Read '50 %' as 0.5, and a quantity in its own unit as a number above 1."""

    def read(value: object) -> object:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        try:
            is_part = isinstance(value, str) and value.rstrip().endswith("%")
            return ratio(value) if is_part else float(parse(value))  # type: ignore[arg-type]
        except (UserError, TypeError, ValueError):
            raise ValueError(
                f"must be a part of the original, '50 %', or a quantity, {example}; not {value!r}"
            ) from None

    return BeforeValidator(read)


def _count(value: Any) -> float:
    raise ValueError(value)


Positive = Field(gt=0)
Count = Annotated[float, Positive, _part_or(_count, "900000")]
Size = Annotated[float, Positive, _part_or(size_bytes, "'3 MB'")]
LatencyGoal = Annotated[float, Positive, _part_or(duration_ns, "'5 ms'")]


class Goal(Spec):
    """What pruning goes on until: each at most so much. A number up to 1, or per cent, is a part of what the model had
    before the step; above that a count, a size, a latency (measured on the device that the compression was given)."""

    macs: Count | None = None
    parameters: Count | None = None
    size: Size | None = None
    latency: LatencyGoal | None = None

    @model_validator(mode="after")
    def _one(self) -> Goal:
        if len([name for name in type(self).model_fields if getattr(self, name) is not None]) != 1:
            raise ValueError("names one of: macs, parameters, size, latency")
        return self

    @property
    def metric(self) -> str:
        """The name of what has a limit."""
        return next(name for name in type(self).model_fields if getattr(self, name) is not None)

    @property
    def limit(self) -> float:
        """The limit: up to 1 a part, above that absolute."""
        return float(getattr(self, self.metric))


class Penalty(Spec):
    """Added to the loss in training: ``weight`` x sum of |w| ("l1"), or ``weight`` / 2 x sum of w^2 ("l2")."""

    norm: Literal["l1", "l2"] = "l1"
    weight: Annotated[float, Positive]


class Rounds(StepSettings):
    """How pruning is spread over rounds, with training between.

    ``schedule``: how much is pruned after round i of n: "linear" i/n of the amount, "polynomial" 1 - (1 - i/n)^3 of it:
    most at first, while the network can still make up for it (Zhu and Gupta, "To prune, or not to prune", 2017).
    ``finetune``: training after each round, the settings of `finetune`. ``penalty``: it pulls what may be pruned
    towards 0 (with the importance "batch_norm" the scales of batch norms, as in network slimming, else weights), and is
    done once before the first round, too.
    """

    rounds: Annotated[int, Field(ge=1, le=MOST_ROUNDS)] = 1
    schedule: Literal["linear", "polynomial"] = "polynomial"
    finetune: Training | None = None
    penalty: Penalty | None = None

    @model_validator(mode="after")
    def _trained(self) -> Rounds:
        if self.rounds > 1 and self.finetune is None:
            raise ValueError("rounds without training between them are one round; add finetune, or leave rounds out")
        if self.penalty is not None and self.finetune is None:
            raise ValueError("a penalty acts in training; add finetune")
        return self

    def parts(self) -> list[float]:
        """Return how much of the amount is pruned after each round; the last is 1."""
        steps = [(i + 1) / self.rounds for i in range(self.rounds)]
        return [1 - (1 - step) ** 3 for step in steps] if self.schedule == "polynomial" else steps


class Prune(Rounds):
    """Structured pruning: remove channels, and whole attention heads, with everything that hangs on them.

    ``importance`` of a channel: "l1" or "l2" norm of its weights, "batch_norm" (its scale), "taylor" (weight times
    gradient, on training data), "random". ``amount``: the part of the channels that goes, in each layer ("local") or
    where it costs least over all layers ("global"); ``layers`` sets it for some layers by path or pattern. ``until``:
    go on until a goal is met instead; with several rounds the last one makes up for what the others missed. ``keep``:
    layers whose channels all stay; those that make the model's outputs do anyway. ``most``: no layer loses more than
    that part. ``round_to``: channel counts become multiples of this; "auto":
    what the kernels of the recipe's targets like. ``heads``: layers that make queries, keys and values -> number of
    heads; ``head_amount`` is the part of the heads that goes. ``batches``: of the training data, for "taylor".
    """

    kind: ClassVar[str] = "prune"
    importance: Importance = "l2"
    scope: Literal["local", "global"] = "local"
    amount: Share | None = None
    layers: dict[Pattern, Annotated[Ratio, Field(lt=1)]] = Field(default_factory=dict)
    until: Goal | None = None
    keep: tuple[Pattern, ...] = ()
    most: Share = 0.9
    round_to: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = "auto"
    heads: dict[Pattern, Annotated[int, Field(ge=1, le=1024)]] = Field(default_factory=dict)
    head_amount: Annotated[Ratio, Field(lt=1)] = 0.0
    batches: Annotated[int, Field(ge=1, le=10_000)] = 8

    @model_validator(mode="after")
    def _asks(self) -> Prune:
        if self.until is not None and self.amount is not None:
            raise ValueError("amount and until exclude each other: prune a part, or until a goal is met")
        if self.until is None and self.amount is None and not self.layers and not self.head_amount:
            raise ValueError("prunes nothing: give an amount, layers, until, or a head_amount")
        if self.head_amount and not self.heads:
            raise ValueError(
                "head_amount needs heads: which layers make queries, keys and values, and of how many heads"
            )
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """Training data, for the importance "taylor" and for training between rounds."""
        return ("train",) if self.importance == "taylor" or self.finetune is not None else ()
