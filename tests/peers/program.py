"""The installed program, called as a shell does, or on a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("seatrial")
# Runs of a fraction of a second: these tests ask what the program says, not how fast a model is.
QUICK = ("--runs", "2", "--iterations", "64", "--memory-runs", "1", "--energy-runs", "0", "--warmup-seconds", "0.01")


@dataclass(frozen=True)
class Said:
    """What a call of the program gave."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout; anything else there fails the test."""
        return json.loads(self.out)


Call = Callable[..., Said]


def in_a_process(*words: object, stdin: str = "", **environment: str) -> Said:
    """Call the program in a process of its own."""
    argv = [str(PROGRAM), *(str(word) for word in words)]
    done = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    return Said(done.returncode, done.stdout, done.stderr)


def on_a_terminal(*words: object, **environment: str) -> tuple[int, bytes]:
    """Call the program with a terminal on all its streams. Return the exit code and what the terminal got."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [str(PROGRAM), *(str(word) for word in words)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm-256color", **environment},
    )
    os.close(follower)
    printed = bytearray()
    try:
        while data := os.read(leader, 4096):
            printed += data
    except OSError:  # Linux: EIO once the other end is closed
        pass
    finally:
        os.close(leader)
    return process.wait(), bytes(printed)
