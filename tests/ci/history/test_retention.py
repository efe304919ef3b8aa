"""What may go from a history, and what never does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from made_trials import TrialMaker
from seatrial_ci.gate import judge
from seatrial_ci.history import History
from seatrial_targets.budgets import Budgets


@pytest.fixture
def history(place: str) -> Iterator[History]:
    """Four trials of one bundle on one device, the second of a release, and an A/A trial before them all."""
    with History.open(place) as opened:
        maker = TrialMaker().solos(3).duets(8)
        same = maker.trial().bundles["candidate"]
        opened.add(maker.trial(id="calibration", started_unix_ns=1, bundles={"candidate": same, "baseline": same}))
        for when, labels in ((10, {}), (20, {"release": "1.0"}), (30, {}), (40, {})):
            trial = maker.trial(id=f"t{when}", started_unix_ns=when)
            opened.add(trial, judge(trial, Budgets()), labels)
        yield opened


def ids(history: History) -> list[str]:
    return [entry.trial_id for entry in history.list()][::-1]


def test_old_trials_go_and_with_them_all_that_is_of_them(history: History) -> None:
    found = history.prune(35)
    assert ids(history) == ["calibration", "t20", "t40"]
    assert (found.trials, found.size_bytes > 1000) == (2, True)
    assert [point.trial_id for point in history.series("latency_p50")] == ["calibration", "t20", "t40"]
    assert history.trial("t20").of("duet")
    assert history.prune(35).trials == 0


def test_the_latest_of_each_stays_however_old(history: History) -> None:
    history.prune(10**18)
    assert ids(history) == ["calibration", "t20", "t40"]


def test_nothing_goes_before_its_time(history: History) -> None:
    assert history.prune(10).trials == 0
    assert len(ids(history)) == 5


def test_a_dry_run_only_tells(history: History) -> None:
    told = history.prune(35, dry_run=True)
    assert len(ids(history)) == 5
    assert history.prune(35) == told


def test_samples_alone_may_go(history: History) -> None:
    assert history.prune(35, samples_only=True).trials == 2
    assert len(ids(history)) == 5
    bare = history.trial("t10")
    assert all(arm.wall_ns == () for run in bare.runs if run.result for arm in run.result.arms.values())
    assert history.labels("t10") == {"samples": "pruned"}
    assert len(history.series("latency_p50")) == 5  # the figures are still known
    assert history.verdicts("t10")[0].outcome == "PASS"
    assert history.prune(35, samples_only=True).trials == 0


def test_the_same_trial_may_be_added_again(history: History) -> None:
    trial = history.trial("t10")
    history.prune(35)
    assert history.add(trial)
    assert history.trial("t10") == trial


def test_a_file_becomes_smaller(tmp_path: Path) -> None:
    path = tmp_path / "h.sqlite"
    with History.open(path) as history:
        maker = TrialMaker().solos(20, n=1000)
        for when in range(10):
            history.add(maker.trial(id=f"t{when}", started_unix_ns=when))
    before = path.stat().st_size
    with History.open(path) as history:
        history.prune(9)
    assert path.stat().st_size < before / 3
