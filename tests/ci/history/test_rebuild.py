"""A history rebuilt from what gates left: trials, verdicts beside them, and what is neither."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from made_trials import TrialMaker
from seatrial_ci.gate import judge
from seatrial_ci.gate.verdict import PolicyVerdict
from seatrial_ci.history import History
from seatrial_ci.history.rebuild import rebuild
from seatrial_ci.judgement import Judgement
from seatrial_ci.report import document
from seatrial_runner.records import Trial
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import UserError

STRICT = Budgets.model_validate({"size": "1 MB"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "artifacts"
    place.mkdir()
    return place


def kept(path: Path, trial: Trial) -> Trial:
    path.write_text(trial.model_dump_json(by_alias=True))
    return trial


def made(name: str, **settings: object) -> Trial:
    return TrialMaker().solos(5).solos(5, bundle="baseline").duets(8).trial(id=name, settings=settings)


def test_trials_come_back_with_the_verdicts_that_lie_beside_them(folder: Path, tmp_path: Path) -> None:
    one, two = (kept(folder / f"{name}.json", made(name)) for name in ("one", "two"))
    verdicts = [judge(one, STRICT), judge(two, Budgets())]
    (folder / "verdict.json").write_text(document([Judgement(verdicts[0], one)]))
    policy = PolicyVerdict(policy="p", outcome=verdicts[1].outcome, reasons=(), verdicts=(verdicts[1],))
    (folder / "policy.json").write_text(document([Judgement(verdicts[1], two)], policy))
    with History.open(tmp_path / "h.sqlite") as history:
        done = rebuild(history, [folder], {"branch": "main"})
        assert (done.added, done.known, done.skipped) == (2, 0, {})
        assert history.trial("one") == one
        assert history.verdicts("one") == (verdicts[0],)
        assert [verdict.outcome for verdict in history.verdicts("two")] == ["PASS"]
        assert history.labels("two") == {"branch": "main"}
        again = rebuild(history, [folder], {})
        assert (again.added, again.known) == (0, 2)
        assert len(history.verdicts("one")) == 1


def test_a_trial_without_a_verdict_is_judged_by_what_it_was_measured_for(folder: Path, tmp_path: Path) -> None:
    kept(folder / "a.json", made("alone", budgets={"size": "1 MB"}, gate={}))
    kept(folder / "b.json", made("unasked"))
    kept(folder / "c.json", made("cell", budgets={}, policy={"cell": "m@d", "stage": "screen"}))
    with History.open(tmp_path / "h.sqlite") as history:
        assert rebuild(history, [folder], {}).added == 3
        assert [verdict.outcome for verdict in history.verdicts("alone")] == ["FAIL"]
        assert history.verdicts("unasked") == history.verdicts("cell") == ()


def test_what_is_found_and_is_no_trial_is_skipped_and_what_is_named_is_an_error(folder: Path, tmp_path: Path) -> None:
    kept(folder / "sub.json", made("one"))
    (folder / "package.json").write_text("{}")
    (folder / "broken.json").write_text("{")
    (folder / "list.json").write_text(json.dumps([1]))
    with History.open(tmp_path / "h.sqlite") as history:
        done = rebuild(history, [folder], {})
        assert done.added == 1
        assert {Path(path).name for path in done.skipped} == {"package.json", "broken.json", "list.json"}
        assert "truncated" in done.skipped[str(folder / "broken.json")]
        with pytest.raises(UserError, match="truncated"):
            rebuild(history, [folder / "broken.json"], {})
        with pytest.raises(UserError, match="No such file"):
            rebuild(history, [folder / "none.json"], {})
