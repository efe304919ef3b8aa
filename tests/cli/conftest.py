"""The program as a user has it: a home of one's own, small real bundles, and two ways to call it."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from peers.program import Call, Said, in_a_process
from runner.conftest import TARGET, make_bundle
from seatrial.cli import cli

__all__ = ["TARGET", "make_bundle"]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and a working folder of the test's own. Runtime libraries stay in the user's cache: they are large."""
    home = tmp_path / "home"
    work = tmp_path / "work"
    home.mkdir()
    work.mkdir()
    for key, folder in {"HOME": "", "XDG_CONFIG_HOME": ".config", "XDG_DATA_HOME": ".data"}.items():
        monkeypatch.setenv(key, str(home / folder))
    monkeypatch.setenv("XDG_STATE_HOME", str(home / ".state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / ".cache"))
    for key in ("SEATRIAL_TARGETS", "SSH_AUTH_SOCK", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.chdir(work)
    return home


@pytest.fixture
def call() -> Call:
    """Call the program in this process; quick."""

    def run(*words: object, stdin: str = "") -> Said:
        done = CliRunner().invoke(cli, [str(word) for word in words], input=stdin)
        return Said(done.exit_code, done.stdout, done.stderr)

    return run


@pytest.fixture
def program() -> Call:
    """Call the installed program in a process of its own, as a shell does."""

    return in_a_process
