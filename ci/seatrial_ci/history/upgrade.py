"""An older history is brought to the present schema where it lies: by Alembic's steps, in one transaction.

Alembic is SQLAlchemy's own; writing and testing steps by hand for two databases is what it saves.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, select, text, update
from sqlalchemy.orm import Session

from seatrial_ci.history.document import restore
from seatrial_ci.history.figures import figure_rows
from seatrial_ci.history.models import FigureRow, SamplesRow, SchemaVersion, TrialRow

HERE = Path(__file__).with_name("migrations")
WAIT_SECONDS = 300  # for another's upgrade, which computes the figures of each kept trial: minutes for very many
_ALEMBIC = threading.Lock()  # Alembic keeps what it works on in its module: one thread at a time


def upgrade(engine: Engine, found: int) -> None:
    """Bring a history of schema ``found`` to the newest. Two that try at once: the second waits and finds it done.

    Before a file of SQLite is changed, a copy of it is kept beside it.
    """
    with engine.begin() as connection, _patient(connection):
        connection.execute(update(SchemaVersion).values(version=SchemaVersion.version))  # takes the write lock
        if connection.scalar(select(SchemaVersion.version)) != found:
            return
        if engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:"):
            _copy(Path(str(engine.url.database)), found)
        with _ALEMBIC:
            config = configuration(connection)
            command.stamp(config, f"{found:04d}")
            command.upgrade(config, "head")
        if found < 2:
            _fill_figures(connection)


@contextmanager
def _patient(connection: Connection) -> Iterator[None]:
    """Let locks be waited for longer than a single trial takes to write: another upgrade may be under way."""
    milliseconds = WAIT_SECONDS * 1000
    if connection.dialect.name != "sqlite":
        connection.execute(text(f"SET LOCAL lock_timeout = {milliseconds}"))
        yield
        return
    before = connection.scalar(text("PRAGMA busy_timeout"))
    connection.execute(text(f"PRAGMA busy_timeout = {milliseconds}"))
    try:
        yield
    finally:
        connection.execute(text(f"PRAGMA busy_timeout = {before}"))


def stamp(connection: Connection) -> None:
    """Note in a history that was just made that it has all steps."""
    with _ALEMBIC:
        command.stamp(configuration(connection), "head")


def configuration(connection: Connection) -> Config:
    """Return Alembic's configuration for ``connection``; no ini file, no logging of its own."""
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _fill_figures(connection: Connection) -> None:
    """Compute the figures of the trials that are kept. A damaged trial has none; it says so when it is asked for."""
    with Session(bind=connection, join_transaction_mode="create_savepoint") as session:
        for identifier in session.scalars(select(TrialRow.id)).all():
            row = session.get_one(TrialRow, identifier)
            samples = session.scalars(select(SamplesRow).where(SamplesRow.trial_id == identifier)).all()
            try:
                rows: list[FigureRow] = figure_rows(restore(row.document, samples))
            except (ValueError, KeyError, TypeError):
                rows = []
            session.expunge_all()
            session.add_all(rows)
            session.flush()
        session.commit()


def _copy(path: Path, found: int) -> None:
    kept = path.with_name(f"{path.name}.schema{found}")
    if kept.exists():
        return
    part = kept.with_name(f"{kept.name}.{os.getpid()}.part")
    source, target = sqlite3.connect(path), sqlite3.connect(part)
    try:
        source.backup(target)
    finally:
        source.close()
        target.close()
    part.replace(kept)
