"""gate.yaml: what a short one means, and that a wrong one says where."""

from __future__ import annotations

import time

import pytest

from seatrial_ci.policy import Policy, cells_of
from seatrial_targets.errors import ConfigError, SeatrialError
from seatrial_targets.inventory import Device, Inventory
from seatrial_targets.located import loads

SHORT = """\
models:
  small: {candidate: "bundles/{model}.{target}", baseline: "branch:main"}
devices: [pi, phone]
metrics:
  latency_p50: {budget: 20 ms, margin: 5 %}
"""


def read(text: str) -> Policy:
    return loads(text, "gate.yaml", Policy)


def inventory(**tags: tuple[str, ...]) -> Inventory:
    devices = {
        "pi": Device(target="raspberry-pi-5-int8", transport="ssh", address="pi", tags=tags.get("pi", ())),
        "phone": Device(target="android-arm64-int8", transport="adb", serial="1", tags=tags.get("phone", ())),
    }
    return Inventory(devices=devices)


def test_five_lines_are_a_policy() -> None:
    policy = read(SHORT)
    assert policy.budgets().latency_p50_ns == 20_000_000
    assert policy.budgets().regression is not None
    assert (policy.inconclusive, policy.invalid, policy.unlike) == ("block", "block", "refuse")
    cells = cells_of(policy, inventory())
    assert [(cell.name, cell.candidate) for cell in cells] == [
        ("small@pi", "bundles/small.raspberry-pi-5-int8"),
        ("small@phone", "bundles/small.android-arm64-int8"),
    ]


def test_every_metric() -> None:
    text = """\
models: {m: {candidate: c, baseline: b}}
devices: [local]
metrics:
  latency_p50: {margin: 2 %}
  latency_p90: {budget: 30 ms, margin: 10 %, severity: warn}
  latency_p99: {budget: 40 ms}
  sustained_latency: {budget: 40 ms}
  cold_load: {margin: 20 %, ignore: 5 %}
  throughput: {budget: 30}
  peak_memory: {budget: 100 MB}
  energy_per_inference: {budget: 5 mJ}
  size: {margin: 1 %}
  parity_sqnr: {budget: 20 dB}
  top1_agreement: {budget: 95 %}
  fallback_ops: {budget: 0}
  accuracy:
    top1: {budget: 0.7, drop: 0.01, severity: warn}
"""
    found = read(text).budgets()
    assert found.regression is not None
    assert (found.regression.ignore, found.regression.margin) == (0.004, 0.02)
    assert set(found.regressions) == {"latency_p90", "cold_load", "size"}
    assert set(found.warn) == {"latency_p90", "accuracy"}
    assert (found.max_fallback_ops, found.accuracy_drop, found.throughput_per_s) == (0, {"top1": 0.01}, 30.0)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("baseline:", "baselin:", "gate.yaml:2:50: models.small.baselin: unknown key; did you mean 'baseline'?"),
        ("20 ms", "20 MB", "gate.yaml:5:25: metrics.latency_p50.budget: 'MB' is not a unit of duration"),
        ("latency_p50:", "latency_p55:", "did you mean 'latency_p50'?"),
        (', baseline: "branch:main"', "", "model 'small' has no baseline, but a metric has a margin"),
        ("{budget: 20 ms, margin: 5 %}", "{severity: warn}", "asks for nothing"),
        ("margin: 5 %", "ignore: 5 %", "give the margin, too"),
        ("margin: 5 %", "margin: 5 %, ignore: 6 %", "must be below margin"),
        ("[pi, phone]", "[pi, pi]", "'pi' is named twice"),
        ("[pi, phone]", "[]", "devices"),
        ("small:", '"../x":', "models"),
    ],
)
def test_a_wrong_one_says_where(old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(SHORT.replace(old, new))
    assert said in str(caught.value)


def test_devices_by_tag_and_models_for_some_targets_only() -> None:
    policy = read(SHORT.replace("[pi, phone]", '["tag:rack"]'))
    assert [cell.device for cell in cells_of(policy, inventory(pi=("rack",), phone=("rack",)))] == ["pi", "phone"]
    with pytest.raises(SeatrialError, match="tag:rack"):
        cells_of(policy, inventory(pi=("shelf",)))
    some = SHORT.replace('"branch:main"}', '"branch:main", targets: [raspberry-pi-5-int8]}')
    assert [cell.device for cell in cells_of(read(some), inventory())] == ["pi"]
    none = some.replace("raspberry-pi-5-int8]", "jetson-nano-fp16]")
    with pytest.raises(SeatrialError, match="no device of the policy is for the model 'small'"):
        cells_of(read(none), inventory())


def test_ten_thousand_devices_are_read_quickly_or_refused_clearly() -> None:
    names = [f"d{i}" for i in range(10_000)]
    policy = Policy.model_validate({**read(SHORT).model_dump(by_alias=True, mode="json"), "devices": names})
    many = {n: Device(target="arm64-cpu-fp32", transport="ssh", address=n) for n in names}
    begun = time.monotonic()
    assert len(cells_of(policy, Inventory(devices=many))) == 10_000
    assert time.monotonic() - begun < 60  # not a measurement: it must not be quadratic
    two = SHORT.replace("small:", "other: {candidate: c, baseline: b}\n  small:").replace("[pi, phone]", str(names))
    with pytest.raises(ConfigError, match="20000 combinations"):
        read(two)
