"""The tables as Parquet, read by the format's own reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyarrow import parquet

from made_trials import TrialMaker
from seatrial_ci.gate import judge
from seatrial_ci.history import History
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import HarnessError


@pytest.fixture
def filled(place: str) -> str:
    with History.open(place) as history:
        maker = TrialMaker().solos(3).duets(8)
        for when in (1, 2):
            trial = maker.trial(id=f"t{when}", started_unix_ns=when)
            history.add(trial, judge(trial, Budgets()), {"commit": f"c{when}"})
    return place


def test_what_is_kept_is_in_the_tables(filled: str, tmp_path: Path) -> None:
    with History.open(filled) as history:
        rows = history.export(tmp_path / "out", samples=True)
        trial = history.trial("t2")
    tables = {path.stem: parquet.read_table(path).to_pylist() for path in (tmp_path / "out").iterdir()}
    assert {name: len(table) for name, table in tables.items()} == rows
    assert rows == {
        "trials": 2,
        "runs": 22,
        "figures": len(tables["figures"]),
        "verdicts": 2,
        "labels": 2,
        "samples": 38,
    }
    assert [row["candidate"] for row in tables["trials"]] == ["net-int8", "net-int8"]
    assert tables["labels"][0] == {"trial_id": "t1", "key": "commit", "value": "c1"}
    assert {row["outcome"] for row in tables["verdicts"]} == {"PASS"}
    kept = next(r for r in tables["samples"] if (r["trial_id"], r["run_index"], r["arm"]) == ("t2", 5, "b"))
    assert tuple(kept["ns"]) == trial.runs[5].result.arms["b"].wall_ns


def test_an_empty_history_has_empty_tables(place: str, tmp_path: Path) -> None:
    with History.open(place) as history:
        assert set(history.export(tmp_path).values()) == {0}
    assert parquet.read_table(tmp_path / "runs.parquet").num_rows == 0
    assert not (tmp_path / "samples.parquet").exists()


def test_a_place_that_can_not_be_written_is_said(filled: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with History.open(filled) as history, pytest.raises(HarnessError, match="file"):
        history.export(tmp_path / "file")
