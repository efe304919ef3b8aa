"""Budgets: absolute limits that a model must keep on a device, and how much worse than its baseline it may be."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from .spec import Spec
from .units import Decibel, DurationNs, EnergyMj, Ratio, SizeBytes

Positive = Field(gt=0)


class Regression(Spec):
    """How a candidate is compared with its baseline, as ratios of the baseline's figure.

    A slowdown below ``ignore`` is never reported; one of ``margin`` or more fails.
    """

    ignore: Ratio = 0.01
    margin: Ratio = 0.05

    @model_validator(mode="after")
    def _ordered(self) -> Regression:
        if self.ignore >= self.margin:
            raise ValueError(f"ignore ({self.ignore:g}) must be below margin ({self.margin:g})")
        return self


class Budgets(Spec):
    """Limits; None means that there is no such budget. Times in ns, sizes in bytes, energy in mJ, ratios 0 to 1.

    ``parity_sqnr_db``, ``top1_agreement`` and ``accuracy`` are the least that is allowed, all others the most.
    ``regression: null`` switches the comparison with a baseline off.
    """

    latency_p50_ns: Annotated[DurationNs, Positive] | None = None
    latency_p90_ns: Annotated[DurationNs, Positive] | None = None
    latency_p99_ns: Annotated[DurationNs, Positive] | None = None
    cold_load_ns: Annotated[DurationNs, Positive] | None = None
    peak_memory_bytes: Annotated[SizeBytes, Positive] | None = None
    size_bytes: Annotated[SizeBytes, Positive] | None = None
    energy_per_inference_mj: Annotated[EnergyMj, Positive] | None = None
    parity_sqnr_db: Decibel | None = None
    top1_agreement: Ratio | None = None
    accuracy: dict[str, float] = Field(default_factory=dict)
    regression: Regression | None = Regression()
