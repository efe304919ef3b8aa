"""What is PostgreSQL's own: a server that is down, a password, a lock, a schema of one's own in a shared database."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from made_trials import TrialMaker
from peers.postgres import PASSWORD, URL_PASSWORD, Postgres
from seatrial_ci.history import History
from seatrial_targets.errors import HarnessError, SeatrialError, UserError


def test_a_server_that_is_down_is_said_and_its_password_is_not(postgres: Postgres) -> None:
    server = postgres
    try:
        place = server.new_database()
        trial = TrialMaker().solos(3).trial()
        with History.open(place) as history:
            history.add(trial)
            server.stop()
            with pytest.raises(HarnessError) as caught:
                history.add(trial.model_copy(update={"id": "lost"}))
            _without_secret(caught.value, server)
            with pytest.raises(HarnessError, match="refused") as caught:
                History.open(place)
            _without_secret(caught.value, server)
            server.start()
            assert history.add(trial.model_copy(update={"id": "after"}))
            assert {entry.trial_id for entry in history.list()} == {trial.id, "after"}
    finally:
        if not server.runs:
            server.start()


def test_a_wrong_password_is_said_and_not_shown(postgres: Postgres) -> None:
    place = postgres.new_database().replace(URL_PASSWORD, "hunter2")
    with pytest.raises(HarnessError, match="password") as caught:
        History.open(place)
    assert "hunter2" not in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_password_in_the_query_is_not_shown_either(postgres: Postgres) -> None:
    place = f"postgresql://127.0.0.1:{postgres.port}/nowhere?user=owner&password={URL_PASSWORD}"
    with pytest.raises(HarnessError, match="does not exist") as caught:
        History.open(place)
    _without_secret(caught.value, postgres)


def test_a_lock_that_is_not_released_is_said(postgres: Postgres) -> None:
    trial = TrialMaker().trial()
    place = postgres.new_database()
    with History.open(place, busy_seconds=0.2) as history, History.open(place) as other:
        with other._engine.begin() as holding:
            holding.execute(text("UPDATE schema_version SET version = version"))
            with pytest.raises(HarnessError, match="locked"):
                history.add(trial)
            assert history.list() == []  # readers do not wait
        assert history.add(trial)


def test_a_database_of_others_is_refused_and_a_schema_in_it_is_not(postgres: Postgres) -> None:
    place = postgres.new_database()
    name = place.rpartition("/")[2]
    postgres.sql("CREATE TABLE theirs (x int); CREATE SCHEMA seatrial", name)
    with pytest.raises(UserError, match="not a Seatrial history"):
        History.open(place)
    own = f"{place}?options=-csearch_path%3Dseatrial"
    with History.open(own) as history:
        history.add(TrialMaker().trial())
    assert postgres.sql("SELECT count(*) FROM seatrial.trial", name).strip() == "1"
    assert postgres.sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'", name) == "1\n"


def test_a_user_without_rights_is_told(postgres: Postgres) -> None:
    place = postgres.new_database()
    History.open(place).close()
    postgres.sql(f"CREATE USER reader PASSWORD '{PASSWORD}'")
    name = place.rpartition("/")[2]
    postgres.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", name)
    with History.open(place.replace("//owner", "//reader")) as history:
        assert history.list() == []
        with pytest.raises(HarnessError, match="permission denied"):
            history.add(TrialMaker().trial())


def _without_secret(error: SeatrialError, server: Postgres) -> None:
    said = str(error)
    assert PASSWORD not in said
    assert URL_PASSWORD not in said
    assert "s3cret" not in said
    assert f"127.0.0.1:{server.port}" in said
    assert error.exit_code == 3
