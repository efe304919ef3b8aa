"""Unlike bundles and sessions: refused, or where asked warned about."""

from __future__ import annotations

import pytest

from made_trials import TrialMaker
from seatrial_ci.gate import GateSettings, Outcome, judge
from seatrial_ci.gate.likeness import unlike_sessions
from seatrial_runner.records import Trial
from seatrial_targets.budgets import Budgets


def unlike(maker: TrialMaker, **facts: dict[str, str]) -> Trial:
    """A trial in which the baseline has other facts than the candidate."""
    trial = maker.duets(8).trial()
    others = {key: {**value, "same": "1"} for key, value in facts.items()}
    mine = {key: {**dict.fromkeys(value, "2.0"), "same": "1"} for key, value in facts.items()}
    bundles = {
        "candidate": trial.bundles["candidate"].model_copy(update=mine),
        "baseline": trial.bundles["baseline"].model_copy(update=others),
    }
    return trial.model_copy(update={"bundles": bundles})


@pytest.mark.parametrize("what", ["toolchain", "runtime_settings"])
def test_unlike_bundles_are_refused_or_warned_about(maker: TrialMaker, what: str) -> None:
    trial = unlike(maker, **{what: {"torch": "1.0"}})
    verdict = judge(trial, Budgets())
    assert verdict.outcome is Outcome.INVALID
    assert "torch 2.0 in the candidate, 1.0 in the baseline" in verdict.reasons[0]
    warned = judge(trial, Budgets(), GateSettings(unlike="warn"))
    assert warned.outcome is Outcome.PASS
    assert any("torch 2.0" in note for note in warned.notes)


def test_where_nothing_is_compared_they_may_differ(maker: TrialMaker) -> None:
    trial = unlike(maker, toolchain={"torch": "1.0"})
    assert judge(trial, Budgets.model_validate({"regression": None, "size": "1 GB"})).outcome is Outcome.PASS


def test_what_an_earlier_version_did_not_record_is_not_held_against_it(maker: TrialMaker) -> None:
    trial = unlike(maker, toolchain={"torch": "1.0"})
    bare = trial.bundles["baseline"].model_copy(update={"toolchain": {}})
    assert judge(trial.model_copy(update={"bundles": {**trial.bundles, "baseline": bare}}), Budgets()).outcome == "PASS"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"os": "Debian 13"}, "the system changed during the trial"),
        ({"kernel": "6.2"}, "the kernel changed"),
        ({"power_save": True}, "battery saving changed during the trial, from off to on"),
        ({"cpu_count": 2}, "the number of CPUs changed"),
    ],
)
def test_a_system_that_changes_during_a_trial_spoils_it(
    maker: TrialMaker, change: dict[str, object], said: str
) -> None:
    facts = {"os": "Debian 12", "kernel": "6.1", "power_save": False, "cpu_count": 4}
    before = maker.trial().before.model_copy(update=facts)
    trial = maker.duets(8).trial(before=before, after=before.model_copy(update=change))
    verdict = judge(trial, Budgets())
    assert verdict.outcome is Outcome.INVALID
    assert said in verdict.reasons[0]


def test_sessions_of_one_device_are_alike_or_not(maker: TrialMaker) -> None:
    one = maker.duets(1).trial(settings={"threads": 1})
    state = one.before.model_copy(update={"os": "Debian 12"})
    one = one.model_copy(update={"before": state})
    assert unlike_sessions((one, one)) == ()
    assert unlike_sessions((one, one.model_copy(update={"before": None}))) == ()  # what is not known is not unlike
    other = one.model_copy(update={"before": state.model_copy(update={"os": "Debian 13"}), "settings": {"threads": 2}})
    assert unlike_sessions((one, other)) == (
        "the sessions are unlike: the system was Debian 12 and Debian 13",
        "the sessions are unlike: the number of threads was 1 and 2",
    )
