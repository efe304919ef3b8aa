"""Budgets: absolute limits that a model must keep on a device, and how much worse than its baseline it may be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .spec import Spec
from .units import Decibel, DurationNs, EnergyMj, Ratio, SizeBytes

Positive = Field(gt=0)
Metric = Literal[
    "latency_p50",
    "latency_p90",
    "latency_p99",
    "cold_load",
    "throughput",
    "peak_memory",
    "energy_per_inference",
    "size",
    "parity_sqnr",
    "top1_agreement",
    "accuracy",
    "fallback_ops",
    "sustained_latency",
    "latency_regression",
]
# Those that can be held against the baseline's figure; the p50 has `regression`, which is measured by duets.
Comparable = Literal[
    "latency_p90", "latency_p99", "cold_load", "throughput", "peak_memory", "energy_per_inference", "size"
]


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

    ``parity_sqnr_db``, ``top1_agreement``, ``accuracy`` and ``throughput_per_s`` are the least that is allowed, all
    others the most. ``regression: null`` switches the comparison of the p50 with a baseline off; ``regressions`` holds
    other metrics against the baseline's, ``accuracy_drop`` in points of the metric. A metric in ``warn`` is judged and
    shown, but blocks nothing.
    """

    latency_p50_ns: Annotated[DurationNs, Positive] | None = None
    latency_p90_ns: Annotated[DurationNs, Positive] | None = None
    latency_p99_ns: Annotated[DurationNs, Positive] | None = None
    sustained_latency_ns: Annotated[DurationNs, Positive] | None = None
    throughput_per_s: Annotated[float, Positive] | None = None
    cold_load_ns: Annotated[DurationNs, Positive] | None = None
    peak_memory_bytes: Annotated[SizeBytes, Positive] | None = None
    size_bytes: Annotated[SizeBytes, Positive] | None = None
    energy_per_inference_mj: Annotated[EnergyMj, Positive] | None = None
    parity_sqnr_db: Decibel | None = None
    top1_agreement: Ratio | None = None
    accuracy: dict[str, float] = Field(default_factory=dict)
    max_fallback_ops: Annotated[int, Field(ge=0)] | None = None
    regression: Regression | None = Regression()
    regressions: dict[Comparable, Regression] = Field(default_factory=dict)
    accuracy_drop: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    warn: tuple[Metric, ...] = ()
