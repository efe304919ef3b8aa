"""A real PostgreSQL server on loopback, in a folder of its own, with a password and a free port."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from peers.sshd import free_port

NEEDS = "needs PostgreSQL: apt install postgresql"
PASSWORD = "s3cret word/@"
URL_PASSWORD = "s3cret%20word%2F%40"


def find_postgres() -> Path | None:
    """Return the folder of initdb and pg_ctl, which Debian keeps off the PATH; the newest of several."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def require_postgres() -> Path:
    """Return the folder of its programs, installing them where we may; skip, or fail where the lab is required."""
    if find_postgres() is None and os.geteuid() == 0 and shutil.which("apt-get"):
        _install()
    found = find_postgres()
    if found is None:
        if os.environ.get("SEATRIAL_REQUIRE_LAB"):
            pytest.fail(NEEDS)
        pytest.skip(NEEDS)
    return found


def _install() -> None:
    """Without the cluster that Debian's package would make and start by itself."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for package in ("postgresql-common", "postgresql"):
        subprocess.run(["apt-get", "install", "-y", "-qq", package], env=environment, check=True, capture_output=True)
        settings = Path("/etc/postgresql-common/createcluster.conf")
        if settings.exists() and package == "postgresql-common":
            settings.write_text(settings.read_text() + "\ncreate_main_cluster = false\n")


PREFIX = "seatrial-pg-"


class Postgres:
    """One server. It does not run as root, which it refuses, but as the user `postgres` of its package."""

    def __init__(self) -> None:
        self.programs = require_postgres()
        self.user = "postgres" if os.geteuid() == 0 else None
        self._sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        self.port = free_port()
        if self.user:
            shutil.chown(self.folder, self.user, self.user)
        (self.folder / "password").write_text(PASSWORD)
        (self.folder / "password").chmod(0o644)
        self._run("initdb", "-D", self._data, "-U", "owner", "-A", "scram-sha-256", f"--pwfile={self.folder}/password")
        self.start()

    def _sweep(self) -> None:
        """Stop and remove the servers of test runs that were killed."""
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
            owner = folder.name.removeprefix(PREFIX).split("-")[0]
            if not Path("/proc", owner).exists():
                with contextlib.suppress(AssertionError):  # it had not started
                    self._run("pg_ctl", "-D", str(folder / "data"), "-m", "immediate", "-w", "stop")
                shutil.rmtree(folder, ignore_errors=True)

    @property
    def _data(self) -> str:
        return str(self.folder / "data")

    @property
    def runs(self) -> bool:
        """True between start and stop."""
        return (self.folder / "data" / "postmaster.pid").exists()

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-w", "-l", f"{self.folder}/log", "-o", options, "start")

    def stop(self) -> None:
        """Stop it at once; connections break."""
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")

    def remove(self) -> None:
        """Stop it if it runs, and remove its folder."""
        if self.runs:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"history_{time.monotonic_ns()}"
        self.sql(f"CREATE DATABASE {name}")
        return f"postgresql://owner:{URL_PASSWORD}@127.0.0.1:{self.port}/{name}"

    def new_schema(self) -> str:
        """Make an empty schema, which costs less than a database, and return the URL that leads to it."""
        name = f"history_{time.monotonic_ns()}"
        self.sql(f"CREATE SCHEMA {name}")
        options = f"options=-csearch_path%3D{name}"
        return f"postgresql://owner:{URL_PASSWORD}@127.0.0.1:{self.port}/postgres?{options}"

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run SQL by psql and return what it prints."""
        return self._psql(database, "-c", statement)

    def load(self, url: str, file: Path) -> None:
        """Run a file of SQL by psql."""
        self._psql(url.rpartition("/")[2], "-f", str(file))

    def _psql(self, database: str, *words: str) -> str:
        place = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "owner", "-d", database)
        return self._run("psql", "-qtA", "-v", "ON_ERROR_STOP=1", *place, *words)

    def _run(self, program: str, *words: str) -> str:
        return _run([str(self.programs / program), *words], self.user)


def _run(words: Sequence[str], user: str | None) -> str:
    environment = {"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryFile() as log:  # a pipe would stay open as long as the server that pg_ctl starts
        done = subprocess.run(
            words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment, user=user, cwd="/", check=False
        )
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    assert done.returncode == 0, f"{words[0]}: {done.returncode}\n{said}"
    return said
