"""A figure over time: levels are looked for where all else stayed the same, and what else changed is named."""

from __future__ import annotations

import numpy as np
import pytest

from seatrial_ci.history.figures import Point
from seatrial_ci.history.trend import trends

RUNTIME = "1.22 | native | 6.1 | Debian | threads 1"


def points(levels: list[tuple[float, str]], device: str = "pi", runs: int = 5, stamp: str = "") -> list[Point]:
    rng = np.random.default_rng(3)
    return [
        Point(
            trial_id=f"{device}{i}",
            unix_ns=i,
            value=float(level * np.exp(0.005 * rng.standard_normal())),
            low=None,
            high=None,
            runs=runs,
            unit="ns",
            likeness=likeness,
            device=device,
            candidate="net",
            target="t",
            stamp=stamp,
            commit=f"c{i}",
            outcome="PASS",
        )
        for i, (level, likeness) in enumerate(levels)
    ]


def test_a_step_is_named_with_the_trial_that_began_it() -> None:
    (found,) = trends(points([(10.0, RUNTIME)] * 10 + [(11.0, RUNTIME)] * 10))
    (change,) = found.changes
    assert change.point.commit == "c10"
    assert change.shift == pytest.approx(0.10, abs=0.01)
    assert change.p is not None
    assert change.p < 0.01


def test_what_else_changed_is_named_and_the_model_is_not_blamed() -> None:
    newer = RUNTIME.replace("1.22", "1.23")
    (found,) = trends(points([(10.0, RUNTIME)] * 6 + [(12.0, newer)] * 6))
    (change,) = found.changes
    assert (change.unlike, change.p) == ("1.22 -> 1.23", None)
    assert change.shift == pytest.approx(0.20, abs=0.02)
    assert change.point.trial_id == "pi6"


def test_devices_stamps_and_few_runs_are_kept_apart() -> None:
    real, emulated = points([(10.0, RUNTIME)] * 10), points([(99.0, RUNTIME)] * 10, stamp="QEMU")
    phone = points([(20.0, RUNTIME)] * 10, device="phone")
    found = trends([*real, *emulated, *phone])
    assert [(each.device, each.stamp, len(each.points)) for each in found] == [
        ("phone", "", 10),
        ("pi", "", 10),
        ("pi", "QEMU", 10),
    ]
    assert all(each.changes == () for each in found)
    (few,) = trends(points([(10.0, RUNTIME)] * 10 + [(20.0, RUNTIME)] * 10, runs=3))
    assert few.changes == ()
    assert trends([]) == ()
