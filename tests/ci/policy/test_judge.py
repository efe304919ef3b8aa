"""Many cells in one verdict, on trials whose right verdict is obvious."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from made_trials import MS, TrialMaker
from seatrial_ci.gate import Outcome
from seatrial_ci.policy import Cell, Evidence, Policy, judge_policy
from seatrial_ci.policy.judge import confirming, flagged_cells, screening
from seatrial_ci.policy.live import evidence_in
from seatrial_ci.statistics.family import Family
from seatrial_ci.statistics.sequential import SequentialRule
from seatrial_runner.records import Trial
from seatrial_targets.errors import UserError


def policy(**more: object) -> Policy:
    metrics = {"latency_p50": {"margin": "5 %"}}
    body = {"models": {"m": {"candidate": "c", "baseline": "b"}}, "devices": ["d"], "metrics": metrics}
    return Policy.model_validate({**body, **more})


def cells(count: int) -> list[Cell]:
    return [Cell("m", f"d{i}", "generic-arm64", "c", "b") for i in range(count)]


def measured(effect: float, pairs: int = 12, seed: int = 1, sd: float = 0.008) -> Trial:
    maker = TrialMaker(seed).solos(5, 10 * MS * (1 + effect)).solos(5, bundle="baseline")
    return maker.duets(pairs, effect, sd).trial()


def evidence(*trials: Trial | None) -> dict[str, Evidence]:
    return {f"m@d{i}": Evidence(trial) for i, trial in enumerate(trials)}


def test_all_pass() -> None:
    found = judge_policy(policy(), cells(3), evidence(*(measured(0.0, seed=s) for s in (1, 2, 3))))
    assert found.outcome is Outcome.PASS
    assert [verdict.model for verdict in found.verdicts] == ["m"] * 3
    assert "3 cells share one error rate" in found.notes[0]


def test_one_cell_is_judged_as_without_a_policy() -> None:
    assert screening(policy(), 1).looks == (8, 16, 32, 64)
    assert judge_policy(policy(), cells(1), evidence(measured(0.1, pairs=8))).outcome is Outcome.FAIL


def test_what_stands_out_must_be_confirmed_on_fresh_pairs() -> None:
    found = evidence(measured(0.10, seed=1), measured(0.0, seed=2))
    assert flagged_cells(policy(), cells(2), found) == ("m@d0",)
    waiting = judge_policy(policy(), cells(2), found)
    assert waiting.outcome is Outcome.INCONCLUSIVE
    assert "were not measured" in waiting.reasons[0]
    slow = judge_policy(policy(), cells(2), {**found, "m@d0": Evidence(found["m@d0"].trial, measured(0.10, 24, 5))})
    assert slow.outcome is Outcome.FAIL
    assert "fresh after a screening that said +9" in slow.reasons[0]
    chance = judge_policy(policy(), cells(2), {**found, "m@d0": Evidence(found["m@d0"].trial, measured(0.0, 24, 5))})
    assert chance.outcome is Outcome.PASS


def test_a_cell_without_a_trial_is_invalid_whatever_the_policy_forgives() -> None:
    lenient = policy(invalid="warn", inconclusive="warn")
    found = judge_policy(lenient, cells(2), {"m@d0": Evidence(measured(0.0)), "m@d1": Evidence(missing="no route")})
    assert found.outcome is Outcome.INVALID
    assert found.reasons == ("m on d1: no route",)
    assert judge_policy(lenient, cells(1), {}).outcome is Outcome.INVALID


def test_inconclusive_blocks_unless_the_policy_lets_it_warn() -> None:
    noisy = evidence(measured(0.05, pairs=64, sd=0.2))
    assert judge_policy(policy(), cells(1), noisy).outcome is Outcome.INCONCLUSIVE
    lenient = judge_policy(policy(inconclusive="warn"), cells(1), noisy)
    assert lenient.outcome is Outcome.PASS
    assert any("warning only, INCONCLUSIVE" in note for note in lenient.verdicts[0].notes)


def test_a_trial_that_broke_off_never_passes() -> None:
    broken = measured(0.0).model_copy(update={"status": "device_error", "reason": "link lost"})
    found = judge_policy(policy(invalid="warn"), cells(1), evidence(broken))
    assert found.outcome is Outcome.INVALID


@pytest.mark.parametrize(("unlike", "outcome"), [("refuse", Outcome.INVALID), ("warn", Outcome.PASS)])
def test_bundles_of_unlike_toolchains(unlike: str, outcome: Outcome) -> None:
    trial = measured(0.0)
    versions = {"candidate": {"torch": "2.13"}, "baseline": {"torch": "2.12"}}
    infos = {k: v.model_copy(update={"toolchain": versions[k]}) for k, v in trial.bundles.items()}
    found = judge_policy(policy(unlike=unlike), cells(1), evidence(trial.model_copy(update={"bundles": infos})))
    assert found.outcome is outcome
    said = [c.message for c in found.verdicts[0].checks if c.metric == "likeness"]
    assert "torch 2.13 in the candidate, 2.12 in the baseline" in said[0]


def test_files_give_the_same_verdict(tmp_path: Path) -> None:
    trials = {"m@d0": measured(0.10, seed=1), "m@d1": measured(0.0, seed=2)}
    fresh = measured(0.10, 24, 5)
    for name, trial in trials.items():
        _keep(tmp_path / f"{name}.json", trial, name, "screen")
    _keep(tmp_path / "m@d0.confirm.json", fresh, "m@d0", "confirm")
    (tmp_path / "verdict.json").write_text("{}")
    found = evidence_in([tmp_path], cells(2), {})
    live = judge_policy(policy(), cells(2), {**evidence(*trials.values()), "m@d0": Evidence(trials["m@d0"], fresh)})
    assert judge_policy(policy(), cells(2), found).model_dump_json() == live.model_dump_json()


def test_two_trials_of_one_cell_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no trial"):
        evidence_in([tmp_path], cells(1), {})
    for name in ("one", "two"):
        _keep(tmp_path / f"{name}.json", measured(0.0), "m@d0", "screen")
    with pytest.raises(UserError, match="a second trial of m@d0"):
        evidence_in([tmp_path], cells(1), {})


def test_the_family_is_seldom_wrong() -> None:
    """60 cells of an unchanged model, 200 times: any false alarm in 1 % of verdicts is allowed, and expected less."""
    rng, family, rule = np.random.default_rng(11), Family(60), SequentialRule()
    alarms = sum(_alarm(rng, family, rule) for _ in range(200))
    assert alarms <= 6  # P(more | 1 %) < .001


def test_confirmation_splits_alpha_over_the_flagged() -> None:
    assert confirming(policy(), 9, 3).pair_alpha == pytest.approx(0.01 / 3)
    assert screening(policy(), 4).alpha == pytest.approx(0.01 / 4)
    assert screening(policy(), 4).screening
    assert not screening(policy(), 1).screening
    with pytest.raises(ValueError, match="nothing was flagged"):
        Family(3).confirmation(SequentialRule(), 0)


def test_all_that_can_fail_the_verdict_shares_its_error_rate() -> None:
    metrics = {
        "latency_p50": {"budget": "20 ms", "margin": "5 %"},  # two questions
        "peak_memory": {"budget": "1 GB"},
        "cold_load": {"budget": "1 s", "severity": "warn"},  # which can't fail it
        "size": {"margin": "1 %"},  # which is exact
    }
    wanted = policy(metrics=metrics)
    assert wanted.metrics.noisy == 3
    assert screening(wanted, 4).alpha == pytest.approx(0.01 / 3 / 4)
    assert screening(wanted, 1).pair_alpha == pytest.approx(0.01 / 3)
    assert confirming(wanted, 4, 2).pair_alpha == pytest.approx(0.01 / 3 / 2)


def test_looks_can_be_chosen() -> None:
    wanted = policy(looks=[10, 20], fresh_looks=[30])
    assert screening(wanted, 1).looks == screening(wanted, 5).looks == (10, 20)
    assert confirming(wanted, 5, 1).looks == (30,)


def test_a_metric_may_say_itself_what_inconclusive_does() -> None:
    noisy = evidence(measured(0.05, pairs=64, sd=0.2))
    one = {"latency_p50": {"margin": "5 %", "inconclusive": "warn"}, "size": {"budget": "1 GB"}}
    assert judge_policy(policy(metrics=one), cells(1), noisy).outcome is Outcome.PASS
    other = {"latency_p50": {"margin": "5 %", "inconclusive": "block"}}
    assert judge_policy(policy(metrics=other, inconclusive="warn"), cells(1), noisy).outcome is Outcome.INCONCLUSIVE


def test_and_what_invalid_does() -> None:
    metrics = {
        "size": {"budget": "1 GB"},
        "energy_per_inference": {"budget": "1 J", "invalid": "warn"},
        "accuracy": {"mAP": {"budget": 0.5, "invalid": "warn"}},
    }
    found = judge_policy(policy(metrics=metrics), cells(1), evidence(measured(0.0)))
    assert found.outcome is Outcome.PASS
    assert sum("warning only, INVALID" in note for note in found.verdicts[0].notes) == 2
    del metrics["energy_per_inference"]["invalid"]
    assert judge_policy(policy(metrics=metrics), cells(1), evidence(measured(0.0))).outcome is Outcome.INVALID


def test_fresh_pairs_of_another_system_confirm_nothing() -> None:
    first, fresh = measured(0.10, seed=1), measured(0.10, 24, 5)
    systems = [t.before.model_copy(update={"os": name}) for t, name in ((first, "one"), (fresh, "two")) if t.before]
    first, fresh = (
        t.model_copy(update={"before": s, "after": s}) for t, s in zip((first, fresh), systems, strict=True)
    )
    found = {"m@d0": Evidence(first, fresh), "m@d1": Evidence(measured(0.0, seed=2))}
    verdict = judge_policy(policy(), cells(2), found)
    assert verdict.outcome is Outcome.INVALID
    assert "the system was one and two" in verdict.reasons[0]


def test_ten_thousand_cells_are_judged() -> None:
    many = cells(10_000)
    found = judge_policy(policy(), many, {})
    assert found.outcome is Outcome.INVALID
    assert len(found.verdicts) == 10_000


def _alarm(rng: np.random.Generator, family: Family, rule: SequentialRule) -> bool:
    from seatrial_ci.statistics.sequential import replay

    screen = family.screening(rule)
    flagged = sum(replay(rng.normal(0, 0.02, 64), screen).decision == "fail" for _ in range(family.cells))
    if not flagged:
        return False
    second = family.confirmation(rule, flagged)
    return any(replay(rng.normal(0, 0.02, 48), second).decision == "fail" for _ in range(flagged))


def _keep(path: Path, trial: Trial, cell: str, stage: str) -> None:
    body = json.loads(trial.model_dump_json(by_alias=True))
    body["settings"] = {"policy": {"name": "gate", "cell": cell, "stage": stage}}
    path.write_text(json.dumps(body))
