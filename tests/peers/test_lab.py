"""The lab is skipped with one plain notice, never silently where it is required, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from peers import lab


def test_without_root_there_is_a_plain_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEATRIAL_REQUIRE_LAB", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(pytest.skip.Exception, match="needs root: the arm64 device lab"):
        lab.require_root()


def test_where_it_is_required_a_skip_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATRIAL_REQUIRE_LAB", "1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(pytest.fail.Exception, match="needs root: the arm64 device lab"):
        lab.require_root()


@pytest.mark.lab
def test_what_a_killed_session_left_is_swept_up(lab_built: None) -> None:
    program = "import os; from peers import lab; d = lab.LabDevice('pi', 'sshd', 22); d.up(); os.kill(os.getpid(), 9)"
    killed = subprocess.Popen([sys.executable, "-c", program], cwd=lab.REPOSITORY / "tests")
    killed.wait()
    (name,) = [each for each in _namespaces().split() if each.endswith(f"-{killed.pid}")]
    lab.script("sweep")
    assert name not in _namespaces()
    assert not Path("/proc/sys/fs/binfmt_misc", name).exists()
    assert not Path(f"/run/seatrial-lab/{name}.pid").exists()


def _namespaces() -> str:
    return subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
