"""The plan and the time that is left, in words."""

from __future__ import annotations

import pytest

from made_trials import TrialMaker
from seatrial_ci.gate import GateSettings, Wanted, judge
from seatrial_ci.gate.forecast import Forecast, duration, forecast, look_text, open_checks, plan_text
from seatrial_runner.plan import Plan
from seatrial_targets.budgets import Budgets


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (40, "40 s"), (89, "89 s"), (120, "2 min"), (5000, "83 min"), (7200, "2.0 h")]
)
def test_times_are_only_about_right(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_plan_says_what_is_made(maker: TrialMaker) -> None:
    text = plan_text(Plan(energy_runs=0), 2, GateSettings(), compared=True)
    assert text.startswith("plan: 6 memory, 10 latency runs, then pairs")
    assert text.endswith("with looks at 8, 16, 32, 64")
    assert "pairs" not in plan_text(Plan(), 1, GateSettings(), compared=False)


def test_time_left_is_that_of_the_runs_made(maker: TrialMaker) -> None:
    maker.duets(8)  # a second each
    ahead = forecast(maker.trial(), Wanted(duets=8), GateSettings())
    assert ahead == Forecast(8.0, 56.0)
    before_any = forecast(TrialMaker().solos(2).trial(), Wanted(duets=8), GateSettings())
    assert before_any == Forecast(16.0, 128.0)
    assert forecast(TrialMaker().trial(), Wanted(duets=8), GateSettings()) == Forecast(None, None)


def test_runs_of_both_bundles_are_counted(maker: TrialMaker) -> None:
    maker.solos(3).solos(3, bundle="baseline")
    assert forecast(maker.trial(), Wanted(solos=2), GateSettings()) == Forecast(4.0, 34.0)


def test_a_look_says_what_it_saw_and_what_comes(maker: TrialMaker) -> None:
    trial = maker.duets(8, effect=0.03, sd=0.05).trial()
    check = next(open_checks(judge(trial, Budgets()).checks))
    text = look_text(check, Forecast(8.0, 300.0))
    assert text.startswith("look at 8 pairs, latency regression: ")
    assert text.endswith("not decided; on to the next look; about 8 s more to it, at most 5 min")
    assert look_text(None, Forecast(None, None)) == "on to the first look"
