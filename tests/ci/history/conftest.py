"""Places for a history: a file, and a database of a real PostgreSQL server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from peers.postgres import Postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running server."""
    server = Postgres()
    yield server
    server.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new history may be made."""
    if request.param == "sqlite":
        return str(tmp_path / "deep" / "history.sqlite")
    server: Postgres = request.getfixturevalue("postgres")
    return server.new_schema()
