"""How the gate decides: looks, error rates and limits of validity. What it decides about are the budgets."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from seatrial_ci.statistics.sequential import SequentialRule


def _rising(looks: tuple[int, ...]) -> tuple[int, ...]:
    if not looks or any(b <= a for a, b in pairwise(looks)):
        raise ValueError("looks must rise, and there must be at least one")
    return looks


Probability = Annotated[float, Field(gt=0, lt=0.5)]
Pairs = Annotated[int, Field(ge=5, le=10_000)]  # fewer than 5 leave a trimmed t without degrees of freedom
Runs = Annotated[int, Field(ge=2, le=10_000)]
Looks = Annotated[tuple[Pairs, ...], AfterValidator(_rising)]


class GateSettings(BaseModel):
    """Error rates hold over all looks of one metric: alpha for a false FAIL, beta for a false PASS.

    ``looks`` are the pairs after which a comparison is judged, ``solo_looks`` the runs after which other figures are.
    ``pair_alpha`` is the comparison's alpha where it differs (in a policy of many cells), and ``screening`` says that
    its FAIL is not final: fresh pairs must confirm it. ``drift_limit``: a drift that is surely greater than this,
    relative, spoils a comparison and widens the bounds of an absolute figure. ``least_battery_percent``: below it
    phones throttle (AndroidX Benchmark refuses, too). ``unlike``: what bundles of another toolchain or other runtime
    settings do; ``below_mde``: what a margin does that the device's calibration can't show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    looks: Looks = (8, 16, 32, 64)
    solo_looks: Annotated[tuple[Runs, ...], AfterValidator(_rising)] = (3, 5, 10, 20)
    alpha: Probability = 0.01
    beta: Probability = 0.01
    pair_alpha: Probability | None = None
    drift_limit: Annotated[float, Field(gt=0, lt=1)] = 0.02
    least_battery_percent: Annotated[float, Field(ge=0, le=100)] = 25.0
    most_invalid_runs: Annotated[float, Field(ge=0, le=1)] = 0.5
    comparison: Literal["auto", "duet", "separate"] = "auto"
    unlike: Literal["refuse", "warn"] = "refuse"
    below_mde: Literal["refuse", "warn"] = "refuse"
    screening: bool = False

    def rule(self, ignore: float, margin: float) -> SequentialRule:
        """Return the rule for the comparison with a baseline."""
        return SequentialRule(ignore, margin, self.looks, self.pair_alpha or self.alpha, self.beta)
