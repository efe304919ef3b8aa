"""gate.yaml: which models on which devices, beside which baselines, and what each metric must keep.

models:
  small: {candidate: "bundles/small.{target}", baseline: branch:main}
devices: [lab-pi, lab-phone]
metrics:
  latency_p50: {budget: 20 ms, margin: 5 %}
"""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import Field, field_validator, model_validator

from seatrial_ci.gate.settings import Looks
from seatrial_ci.gate.verdict import Severity
from seatrial_targets.budgets import Budgets, Regression
from seatrial_targets.spec import Spec
from seatrial_targets.units import Decibel, DurationNs, EnergyMj, Ratio, SizeBytes

T = TypeVar("T")
Action = Literal["block", "warn"]
MOST_CELLS = 10_000
Positive = Field(gt=0)
Text = Annotated[str, Field(min_length=1, max_length=1024)]
ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]


class Asked(Spec):
    """What every metric may say of itself. ``inconclusive`` and ``invalid`` go before the policy's own."""

    severity: Severity = "block"
    inconclusive: Action | None = None
    invalid: Action | None = None


class Limit(Asked, Generic[T]):
    """What one metric must keep: an absolute ``budget``; ``margin`` and ``ignore`` against the baseline's figure."""

    budget: T | None = None
    margin: Ratio | None = None
    ignore: Ratio | None = None

    @model_validator(mode="after")
    def _asks(self) -> Limit[T]:
        if self.budget is None and self.margin is None:
            raise ValueError("asks for nothing: give a budget, a margin, or both")
        if self.ignore is not None and self.margin is None:
            raise ValueError("ignore is the lower end of a margin; give the margin, too")
        self.regression()
        return self

    def regression(self) -> Regression | None:
        """Return margin and ignore; a small margin lowers the default of ignore to a fifth of it."""
        if self.margin is None:
            return None
        ignore = self.ignore if self.ignore is not None else min(0.01, self.margin / 5)
        return Regression(ignore=ignore, margin=self.margin)


class Stated(Asked, Generic[T]):
    """A metric that is held against a budget only."""

    budget: T


class Accuracy(Asked):
    """The user's own metric: ``budget`` is the least, ``drop`` the most points below the baseline's."""

    budget: float | None = None
    drop: Annotated[float, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _asks(self) -> Accuracy:
        if self.budget is None and self.drop is None:
            raise ValueError("asks for nothing: give a budget, a drop, or both")
        return self


Duration = Annotated[DurationNs, Positive]


class Metrics(Spec):
    """Every metric that a policy can ask for. What a device can't measure is INVALID, never passed."""

    latency_p50: Limit[Duration] | None = None
    latency_p90: Limit[Duration] | None = None
    latency_p99: Limit[Duration] | None = None
    sustained_latency: Stated[Duration] | None = None
    cold_load: Limit[Duration] | None = None
    throughput: Limit[Annotated[float, Positive]] | None = None
    peak_memory: Limit[Annotated[SizeBytes, Positive]] | None = None
    energy_per_inference: Limit[Annotated[EnergyMj, Positive]] | None = None
    size: Limit[Annotated[SizeBytes, Positive]] | None = None
    parity_sqnr: Stated[Decibel] | None = None
    top1_agreement: Stated[Ratio] | None = None
    accuracy: dict[str, Accuracy] = Field(default_factory=dict)
    fallback_ops: Stated[Annotated[int, Field(ge=0)]] | None = None

    @model_validator(mode="after")
    def _some(self) -> Metrics:
        if not self.asked():
            raise ValueError("asks for nothing: name at least one metric")
        if len({each.severity for each in self.accuracy.values()}) > 1:
            raise ValueError("accuracy: give all its metrics the same severity")
        return self

    def asked(self) -> dict[str, Any]:
        """Return the metrics that have a limit."""
        found = {name: getattr(self, name) for name in type(self).model_fields if name != "accuracy"}
        return {name: limit for name, limit in found.items() if limit is not None} | dict(self.accuracy)

    def of(self, metric: str) -> Asked | None:
        """Return what is asked of a check's metric: 'peak_memory_regression' and 'accuracy top1 drop' included."""
        if metric.startswith("accuracy "):
            name = metric.removeprefix("accuracy ")
            return self.accuracy.get(name) or self.accuracy.get(name.removesuffix(" drop"))
        name = "latency_p50" if metric == "latency_regression" else metric.removesuffix("_regression")
        found: Asked | None = getattr(self, name, None) if name in type(self).model_fields else None
        return found

    @property
    def noisy(self) -> int:
        """How many questions to measured figures can fail the verdict; they share its error rate."""
        asked = [each for name, each in self.asked().items() if name in NOISY and each.severity == "block"]
        return sum((each.budget is not None) + (getattr(each, "margin", None) is not None) for each in asked)

    @property
    def needs_baseline(self) -> bool:
        """True when any metric is held against the baseline's."""
        return any(getattr(each, "margin", None) is not None for each in self.asked().values()) or any(
            each.drop is not None for each in self.accuracy.values()
        )


NOISY = {
    "latency_p50",
    "latency_p90",
    "latency_p99",
    "sustained_latency",
    "cold_load",
    "throughput",
    "peak_memory",
    "energy_per_inference",
}
BUDGET_FIELDS = {
    "latency_p50": "latency_p50_ns",
    "latency_p90": "latency_p90_ns",
    "latency_p99": "latency_p99_ns",
    "sustained_latency": "sustained_latency_ns",
    "cold_load": "cold_load_ns",
    "throughput": "throughput_per_s",
    "peak_memory": "peak_memory_bytes",
    "energy_per_inference": "energy_per_inference_mj",
    "size": "size_bytes",
    "parity_sqnr": "parity_sqnr_db",
    "top1_agreement": "top1_agreement",
    "fallback_ops": "max_fallback_ops",
}


class Model(Spec):
    """A model of the policy. In paths, ``{target}`` stands for the target of the device, ``{model}`` for the name.

    ``baseline`` is a bundle's path, or ``tag:``, ``branch:``, ``release:`` or ``digest:`` and a name, which is looked
    up among the kept baselines. ``targets`` names those that this model is shipped for; empty: those of all devices.
    """

    candidate: Text
    baseline: Text | None = None
    targets: tuple[Text, ...] = ()


class Policy(Spec):
    """A policy, as gate.yaml has it. ``inconclusive`` and ``invalid`` say what such checks do: block, or only warn.

    ``alpha`` is the chance of any false FAIL in the whole verdict, ``beta`` that of a false PASS of one check.
    ``looks`` are the pairs after which a comparison is judged, ``fresh_looks`` those of the fresh pairs that confirm
    a comparison which stood out among several. ``unlike`` is for bundles of another toolchain or runtime settings,
    ``below_mde`` for margins that the calibration of the device says it can't show.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$")] = "gate"
    models: Annotated[dict[ModelName, Model], Field(min_length=1)]
    devices: Annotated[tuple[Text, ...], Field(min_length=1)]
    baseline: Text | None = None
    metrics: Metrics
    inconclusive: Action = "block"
    invalid: Action = "block"
    unlike: Literal["refuse", "warn"] = "refuse"
    below_mde: Literal["refuse", "warn"] = "refuse"
    comparison: Literal["auto", "duet", "separate"] = "auto"
    looks: Looks | None = None
    fresh_looks: Looks | None = None
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.01
    beta: Annotated[float, Field(gt=0, lt=0.5)] = 0.01

    @field_validator("devices")
    @classmethod
    def _once(cls, devices: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in devices if devices.count(name) > 1}) if len(devices) < MOST_CELLS else []
        if twice:
            raise ValueError(f"{twice[0]!r} is named twice")
        return devices

    @model_validator(mode="after")
    def _consistent(self) -> Policy:
        cells = len(self.models) * len(self.devices)
        if cells > MOST_CELLS:
            raise ValueError(f"{cells} combinations of model and device; one verdict takes at most {MOST_CELLS}")
        for name, model in self.models.items():
            if self.metrics.needs_baseline and not (model.baseline or self.baseline):
                raise ValueError(f"model {name!r} has no baseline, but a metric has a margin; give it `baseline:`")
        return self

    def budgets(self) -> Budgets:
        """Return the limits as `judge` takes them; a p50 without a margin is not compared."""
        asked = {name: limit for name, limit in self.metrics.asked().items() if name in BUDGET_FIELDS}
        limits = {BUDGET_FIELDS[name]: each.budget for name, each in asked.items() if each.budget is not None}
        margins = {name: each.regression() for name, each in asked.items() if isinstance(each, Limit)}
        compared = {name: each for name, each in margins.items() if each is not None}
        accuracy = self.metrics.accuracy
        return Budgets.model_validate(
            {
                **limits,
                "regression": compared.pop("latency_p50", None),
                "regressions": compared,
                "accuracy": {name: each.budget for name, each in accuracy.items() if each.budget is not None},
                "accuracy_drop": {name: each.drop for name, each in accuracy.items() if each.drop is not None},
                "warn": self._warning(),
            }
        )

    def _warning(self) -> tuple[str, ...]:
        named = [n for n, each in self.metrics.asked().items() if each.severity == "warn" and n in BUDGET_FIELDS]
        named += ["latency_regression"] * ("latency_p50" in named)
        named += ["accuracy"] * any(each.severity == "warn" for each in self.metrics.accuracy.values())
        return tuple(named)
