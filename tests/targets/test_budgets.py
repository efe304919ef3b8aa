"""Budgets from files and from Python."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from seatrial_targets.budgets import Budgets, Regression
from seatrial_targets.errors import ConfigError
from seatrial_targets.located import loads

ALL = """
latency_p50: 18 ms
latency_p90: 20 ms
latency_p99: 25 ms
cold_load: 1.5 s
peak_memory: 350 MB
size: 5 MiB
energy_per_inference: 40 mJ
parity_sqnr: 15 dB
top1_agreement: 95 %
accuracy: {top1: 0.7, loss_free: -1}
regression: {ignore: 0.5 %, margin: 2 %}
"""


def test_every_budget() -> None:
    budgets = loads(ALL, "b.yaml", Budgets)
    assert budgets == Budgets(
        latency_p50_ns=18_000_000,
        latency_p90_ns=20_000_000,
        latency_p99_ns=25_000_000,
        cold_load_ns=1_500_000_000,
        peak_memory_bytes=350_000_000,
        size_bytes=5 * 2**20,
        energy_per_inference_mj=40.0,
        parity_sqnr_db=15.0,
        top1_agreement=0.95,
        accuracy={"top1": 0.7, "loss_free": -1.0},
        regression=Regression(ignore=0.005, margin=0.02),
    )
    assert Budgets.model_validate(budgets.model_dump(mode="json", by_alias=True)) == budgets
    assert Budgets.model_validate(budgets.model_dump()) == budgets


def test_nothing_is_asked_by_default_but_no_regression() -> None:
    found = Budgets().model_dump(exclude_none=True)
    assert {key: value for key, value in found.items() if value} == {"regression": {"ignore": 0.01, "margin": 0.05}}
    assert loads("regression: null\n", "b.yaml", Budgets).regression is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("latency_p50: 18", "b.yaml:1:14: latency_p50: 18 has no unit; write '18 ms'"),
        ("latency_p50: '18'", "b.yaml:1:14: latency_p50: 18 has no unit; write '18 ms'"),
        ("latency_p50: 18 MB", "b.yaml:1:14: latency_p50: 'MB' is not a unit of duration"),
        ("latency_p50: 0 ms", "b.yaml:1:14: latency_p50: must be above 0"),
        ("latency_p50_ns: 18", "b.yaml:1:1: latency_p50_ns: unknown key; did you mean 'latency_p50'?"),
        ("latency_p95: 18 ms", "b.yaml:1:1: latency_p95: unknown key; did you mean 'latency_p9"),
        ("size: true", "b.yaml:1:7: size: True is not a size"),
        ("size: [1]", "b.yaml:1:7: size: [1] is not a size"),
        ("top1_agreement: 95", "b.yaml:1:17: top1_agreement: 95 is not between 0 and 1; write '5 %' or 0.05"),
        ("accuracy: 3", "b.yaml:1:11: accuracy: must be a mapping, not 3"),
        ("accuracy: {a: 95 %}", "b.yaml:1:15: accuracy.a: must be a number, not '95 %'"),
        ("regression: {margin: 0.5 %}", "b.yaml:1:13: regression: ignore (0.01) must be below margin (0.005)"),
    ],
)
def test_bad_budgets(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(text, "b.yaml", Budgets)
    assert str(caught.value).startswith(problem)


def test_python_may_give_neither_unknown_names_nor_nonsense() -> None:
    with pytest.raises(ValidationError):
        Budgets.model_validate({"latency_p51": 3})
    with pytest.raises(ValidationError):
        Budgets(latency_p50_ns=-1)
