"""Where a history lies and how it is reached: a file of SQLite, or a PostgreSQL server by URL; its errors in words."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError, SQLAlchemyError

from seatrial_targets.errors import HarnessError, UserError

POSTGRES = ("postgresql", "postgres")
CONNECT_SECONDS = 10


def default_path() -> Path:
    """Return $XDG_DATA_HOME/seatrial/history.sqlite, by default below ~/.local/share."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "seatrial" / "history.sqlite"


def url_of(place: str | Path | None) -> URL:
    """Return the URL of a path or SQLAlchemy URL, by default of $SEATRIAL_HISTORY, else of `default_path`.

    The folder of a file is made. Raises UserError for what is no URL or a folder; HarnessError.
    """
    place = place or os.environ.get("SEATRIAL_HISTORY")
    if isinstance(place, str) and "://" in place:
        try:
            return _with_driver(make_url(place))
        except (ArgumentError, ValueError):  # neither is shown: it may hold a password
            raise UserError(
                "the history is not a database URL, such as sqlite:///file or postgresql://host/name"
            ) from None
    path = Path(place) if place else default_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HarnessError(f"{path.parent}: can't be made for the history: {error.strerror}") from error
    if path.is_dir():
        raise UserError(f"{path} is a folder; name a file for the history")
    return URL.create("sqlite", database=str(path))


def shown(url: URL) -> str:
    """Return a URL as it may be printed: a file's path, or the URL without password and without its query."""
    if url.drivername.startswith("sqlite") and url.database:
        return url.database
    return url.set(query={}).render_as_string(hide_password=True)


def engine_of(url: URL, busy_seconds: float) -> Engine:
    """Return an engine; a lock is waited for ``busy_seconds``. Raises UserError when there is no driver for it."""
    try:
        engine = create_engine(url, connect_args=_arguments(url, busy_seconds))
    except (NoSuchModuleError, ImportError) as error:
        hint = "run: pip install 'seatrial[postgres]'" if url.drivername.startswith(POSTGRES) else str(error)
        raise UserError(f"{url.drivername}: no driver for this database is installed; {hint}") from None
    if url.drivername.startswith("sqlite"):
        event.listen(engine, "connect", _tuned(busy_seconds))
    return engine


@contextmanager
def explained(place: str) -> Iterator[None]:
    """Turn the database's errors into ours. Raises UserError for what is no history, else HarnessError."""
    try:
        yield
    except OperationalError as error:
        text = str(error.orig)
        if any(word in text for word in ("locked", "busy", "lock timeout")):
            raise HarnessError(
                f"{place}: another process kept it locked; try again when it has finished; nothing was changed"
            ) from error
        raise HarnessError(
            f"{place}: the history can't be used: {' '.join(text.split())}; nothing was changed"
        ) from error
    except DatabaseError as error:
        if "not a database" in str(error.orig) or "malformed" in str(error.orig):
            raise UserError(f"{place}: not a history, or damaged ({error.orig}); name another place") from error
        raise HarnessError(f"{place}: {error.orig}; nothing was changed") from error
    except SQLAlchemyError as error:
        raise HarnessError(f"{place}: {error}") from error


def _with_driver(url: URL) -> URL:
    """Let postgresql:// mean psycopg 3, which is what the extra [postgres] brings; SQLAlchemy 2.0 means psycopg2."""
    return url.set(drivername="postgresql+psycopg") if url.drivername in POSTGRES else url


def _arguments(url: URL, busy_seconds: float) -> dict[str, Any]:
    if url.drivername.startswith("sqlite"):
        return {"timeout": busy_seconds}
    if url.drivername == "postgresql+psycopg":
        given = url.query.get("options", "")
        options = given if isinstance(given, str) else " ".join(given)
        lock = f"-c lock_timeout={max(1, round(busy_seconds * 1000))}"
        return {"connect_timeout": CONNECT_SECONDS, "options": f"{options} {lock}".strip()}
    return {}


def _tuned(busy_seconds: float) -> Callable[[Any, object], None]:
    """Readers do not wait for the writer (WAL); a crash of the machine may lose the last trial, never the file."""

    def tune(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        _to_wal(cursor, time.monotonic() + busy_seconds)
        for pragma in ("synchronous=NORMAL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return tune


def _to_wal(cursor: Any, end: float) -> None:
    """Change the file to WAL, which stays so. Others may do the same at this moment.

    SQLite does not wait for its own time-out then: of two that hold a read lock and want the file for themselves, one
    is refused at once, so that they can't wait for each other for ever.
    """
    pause = 0.005
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
        time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 (not a secret)
        pause = min(2 * pause, 0.2)
