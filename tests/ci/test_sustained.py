from typing import Any

import numpy as np
import pytest

from seatrial_ci.sustained import SustainedFigures, sustained_figures
from seatrial_runner.records import ArmResult


def arm(minutes: float, ms_at: Any, hz: float = 4.0) -> ArmResult:
    seconds = np.arange(0, minutes * 60, 1 / hz)
    wall = [int(ms_at(s) * 1e6) for s in seconds]
    at = [int(s * 1e9) for s in seconds]
    fields = {"session_ns": 1, "first_ns": 1, "warmup_iterations": 0, "checks": ()}
    return ArmResult(**fields, wall_ns=wall, cpu_ns=wall, at_ns=at, stride=3, inferences=9)


def figures(minutes: float, ms_at: Any) -> SustainedFigures:
    found = sustained_figures(arm(minutes, ms_at))
    assert isinstance(found, SustainedFigures), found
    return found


def test_the_first_minute_against_the_last():
    found = figures(30, lambda s: 10 if s < 600 else 14)
    assert (found.first_minute_ns, found.last_minute_ns, found.steady_ns) == (10e6, 14e6, 14e6)
    assert found.change == pytest.approx(0.4)
    assert found.slow_after_s == 600
    assert found.steady


def test_what_stays_as_fast_never_slowed_down():
    assert figures(5, lambda s: 10 + 0.1 * (s % 2)).slow_after_s is None


def test_a_dip_that_passes_is_no_throttling():
    assert figures(10, lambda s: 15 if 200 < s < 260 else 10).slow_after_s is None


def test_what_still_changes_is_not_settled():
    found = figures(10, lambda s: 10 + s / 60)
    assert not found.steady
    assert found.slow_after_s is not None


def test_two_minutes_are_the_least():
    assert "it lasted 90 s" in str(sustained_figures(arm(1.5, lambda s: 10)))
    assert "only 0 inferences" in str(sustained_figures(arm(0, lambda s: 10)))
