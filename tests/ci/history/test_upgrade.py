"""Histories of earlier schemas, as the Seatrial of that time wrote them (tests/data/history), brought up to date."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import create_engine, inspect, text

from peers.postgres import Postgres
from seatrial_ci.gate import judge
from seatrial_ci.history import History, upgrade
from seatrial_ci.history.models import SCHEMA_VERSION, Base
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import HarnessError, UserError

DATA = Path(__file__).parents[2] / "data" / "history"


@pytest.fixture
def old(place: str, request: pytest.FixtureRequest) -> str:
    """A place with a history of schema 1, in which there are two trials."""
    if place.startswith("postgresql"):
        server: Postgres = request.getfixturevalue("postgres")
        database = server.new_database()
        server.load(database, DATA / "schema1.postgresql.sql")
        return database
    Path(place).parent.mkdir()
    raw = sqlite3.connect(place)
    raw.executescript((DATA / "schema1.sqlite.sql").read_text())
    raw.close()
    return place


@pytest.fixture
def old_file(tmp_path: Path) -> Path:
    path = tmp_path / "h.sqlite"
    raw = sqlite3.connect(path)
    raw.executescript((DATA / "schema1.sqlite.sql").read_text())
    raw.close()
    return path


def test_all_that_was_kept_is_still_there(old: str) -> None:
    with History.open(old) as history:
        assert [entry.trial_id for entry in history.list()] == ["old-2", "old-1"]
        trial = history.trial("old-1")
        assert len(trial.of("duet")) == 8
        (verdict,) = history.verdicts("old-1")
        assert (verdict.rule, verdict.outcome) == ("sequential-trimmed-t/1", "PASS")
        assert verdict.checks[0].value == judge(trial, Budgets()).checks[0].value
        assert history.add(trial.model_copy(update={"id": "new"}), labels={"branch": "main"})


def test_the_figures_of_old_trials_are_points_of_a_trend(old: str) -> None:
    with History.open(old) as history:
        assert [point.trial_id for point in history.series("latency_p50")] == ["old-1", "old-2"]
        (point,) = history.series("peak_memory")
        assert point.value == pytest.approx(50_000_001, rel=1e-6)


def test_an_upgraded_history_has_the_tables_of_a_new_one(old: str, tmp_path: Path) -> None:
    with History.open(old) as upgraded, History.open(tmp_path / "new.sqlite") as new:
        ours, theirs = inspect(upgraded._engine), inspect(new._engine)
        for table in Base.metadata.tables:
            assert _shape(ours, table) == _shape(theirs, table)
        for history in (upgraded, new):
            with history._engine.connect() as connection:
                assert connection.scalar(text("SELECT version FROM schema_version")) == SCHEMA_VERSION
                assert connection.scalar(text("SELECT version_num FROM alembic_version")) == f"{SCHEMA_VERSION:04d}"


def test_alembic_sees_no_difference_between_steps_and_models(old: str) -> None:
    with History.open(old) as history, history._engine.connect() as connection:
        command.check(upgrade.configuration(connection))


def test_the_first_step_makes_what_the_first_seatrial_made(old_file: Path) -> None:
    made = create_engine("sqlite://")
    with made.begin() as connection:
        command.upgrade(upgrade.configuration(connection), "0001")
        stepped = inspect(connection)
        with create_engine(f"sqlite:///{old_file}").connect() as raw:
            first = inspect(raw)
            assert set(first.get_table_names()) == set(stepped.get_table_names()) - {"alembic_version"}
            for table in first.get_table_names():
                assert _shape(stepped, table) == _shape(first, table)
    made.dispose()


def test_a_file_is_copied_before_it_is_changed(old_file: Path) -> None:
    History.open(old_file).close()
    kept = old_file.with_name("h.sqlite.schema1")
    raw = sqlite3.connect(kept)
    assert raw.execute("SELECT version FROM schema_version").fetchone() == (1,)
    assert raw.execute("SELECT count(*) FROM trial").fetchone() == (2,)
    raw.close()
    assert sorted(path.name for path in old_file.parent.glob("*.part")) == []


def test_a_step_that_breaks_leaves_all_as_it_was(old: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("no")

    with monkeypatch.context() as patched:
        patched.setattr(upgrade, "_fill_figures", broken)
        with pytest.raises(OSError, match="no"):
            History.open(old)
    engine = create_engine(old.replace("postgresql:", "postgresql+psycopg:") if "://" in old else f"sqlite:///{old}")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version FROM schema_version")) == 1
        assert not {"label", "figure"} & set(inspect(connection).get_table_names())
    engine.dispose()
    with History.open(old) as history:
        assert len(history.list()) == 2


def test_a_damaged_trial_does_not_keep_the_others_from_being_upgraded(old_file: Path) -> None:
    raw = sqlite3.connect(old_file)
    raw.execute("UPDATE trial SET document = x'00' WHERE id = 'old-1'")
    raw.commit()
    raw.close()
    with History.open(old_file) as history:
        assert [point.trial_id for point in history.series("latency_p50")] == ["old-2"]
        with pytest.raises(HarnessError, match="old-1"):
            history.trial("old-1")


def test_some_that_open_an_old_history_at_once_upgrade_it_once(old: str) -> None:
    assert _open_at_once(old, 4) == []


def test_some_that_open_a_file_that_is_not_in_wal_yet_do_not_refuse_each_other(tmp_path: Path) -> None:
    for number in range(6):
        path = tmp_path / f"{number}.sqlite"
        raw = sqlite3.connect(path)
        raw.executescript((DATA / "schema1.sqlite.sql").read_text())
        raw.close()
        assert _open_at_once(str(path), 6) == []


def test_an_upgrade_waits_longer_for_another_than_a_trial_does(old_file: Path) -> None:
    raw = sqlite3.connect(old_file, isolation_level=None, check_same_thread=False)
    raw.execute("PRAGMA journal_mode=WAL")
    raw.execute("BEGIN IMMEDIATE")
    end = threading.Timer(0.5, raw.rollback)
    end.start()
    with History.open(old_file, busy_seconds=0.01) as history:
        assert len(history.series("latency_p50")) == 2
        with history._engine.connect() as connection:
            assert connection.scalar(text("PRAGMA busy_timeout")) == 10
    end.join()
    raw.close()


def _open_at_once(place: str, number: int) -> list[BaseException]:
    problems: list[BaseException] = []
    together = threading.Barrier(number)

    def open_it() -> None:
        together.wait()
        try:
            with History.open(place) as history:
                assert len(history.series("latency_p50")) == 2
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=open_it) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return problems


def test_a_schema_of_the_future_is_left_alone(old_file: Path) -> None:
    raw = sqlite3.connect(old_file)
    raw.execute("UPDATE schema_version SET version = 7")
    raw.commit()
    before = list(raw.iterdump())
    with pytest.raises(UserError, match=r"schema 7.*upgrade Seatrial"):
        History.open(old_file)
    assert list(raw.iterdump()) == before
    raw.close()


def _shape(inspector: object, table: str) -> tuple[object, ...]:
    """Return names, kinds and keys of a table, in words that both databases share."""
    columns = inspector.get_columns(table)  # type: ignore[attr-defined]
    kinds = {"VARCHAR": "text", "TEXT": "text", "BLOB": "bytes", "BYTEA": "bytes", "DOUBLE_PRECISION": "DOUBLE"}
    found = {c["name"]: (kinds.get(type(c["type"]).__name__, type(c["type"]).__name__), c["nullable"]) for c in columns}
    indexes = {i["name"]: i["column_names"] for i in inspector.get_indexes(table)}  # type: ignore[attr-defined]
    indexes = {name: names for name, names in indexes.items() if not name.startswith("device_name_")}  # PostgreSQL's
    key = inspector.get_pk_constraint(table)["constrained_columns"]  # type: ignore[attr-defined]
    foreign = sorted(f["referred_table"] for f in inspector.get_foreign_keys(table))  # type: ignore[attr-defined]
    return found, indexes, key, foreign
