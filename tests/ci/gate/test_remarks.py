"""What a comparison says beside its verdict."""

from __future__ import annotations

import numpy as np
import pytest

from made_trials import TrialMaker
from seatrial_ci.gate import GateSettings, Outcome, judge
from seatrial_targets.budgets import Budgets

FINE = GateSettings(looks=(32,))


def notes(maker: TrialMaker, settings: GateSettings = FINE) -> str:
    return "\n".join(judge(maker.trial(), Budgets(), settings).notes)


def test_quiet_pairs_need_no_remark_but_the_one_on_solo_runs(maker: TrialMaker) -> None:
    maker.duets(32).solos(3).solos(3, bundle="baseline")
    assert notes(maker).startswith("runs of each bundle alone say")
    assert notes(maker).count("\n") == 0


def test_without_solo_runs_it_is_said_that_nothing_was_checked(maker: TrialMaker) -> None:
    assert "not checked against solo runs" in notes(maker.duets(32))


@pytest.mark.parametrize(("effect", "said"), [(0.006, "1.2 % slower"), (-0.006, "1.2 % faster")])
def test_an_order_effect_is_told(maker: TrialMaker, effect: float, said: str) -> None:
    for i in range(32):  # the maker swaps arms from run to run and begins with a: the candidate in even ones
        maker.duet(effect * (1 if i % 2 == 0 else -1) + 0.0002 * float(maker.rng.standard_normal()))
    assert f"came first was {said}" in notes(maker)


def test_pairs_that_stand_out_are_named(maker: TrialMaker) -> None:
    maker.duets(30, sd=0.004)
    maker.duet(0.5), maker.duet(-0.5)
    assert "2 of 32 duet pairs stand out (+64.9 %, -39.4 %): something disturbed them" in notes(maker)


def test_too_many_that_stand_out_are_no_accident(maker: TrialMaker) -> None:
    maker.duets(24, sd=0.002)
    for _ in range(8):
        maker.duet(0.3)
    assert "8 of 32 duet pairs stand out" in notes(maker)
    assert "more than the trimmed mean leaves out" in notes(maker)


def test_pairs_that_resemble_their_neighbours_are_told(maker: TrialMaker) -> None:
    for value in 0.004 * np.sin(np.arange(32) / 4):
        maker.duet(float(value))
    assert "successive pairs resemble each other" in notes(maker)


def test_a_clock_that_was_set_back_is_told(maker: TrialMaker) -> None:
    trial = maker.solos(5).duets(8).trial()
    assert not [note for note in judge(trial, Budgets()).notes if "clock" in note]
    runs = [run.model_copy(update={"started_unix_ns": 10**9 * (20 - i)}) for i, run in enumerate(trial.runs)]
    verdict = judge(trial.model_copy(update={"runs": tuple(runs)}), Budgets())
    assert verdict.outcome is Outcome.PASS
    assert "this machine's clock was set back" in " ".join(verdict.notes)


def test_runs_after_the_decision_are_not_remarked_on(maker: TrialMaker) -> None:
    maker.duets(16)
    said = notes(maker, GateSettings(looks=(16,)))
    maker.duet(5.0)
    assert notes(maker, GateSettings(looks=(16,))) == said


def test_without_a_comparison_there_is_nothing_to_remark(maker: TrialMaker) -> None:
    limits = Budgets.model_validate({"regression": None, "latency_p50": "1 s"})
    assert judge(maker.solos(5).trial(baseline=False), limits).notes == ()
