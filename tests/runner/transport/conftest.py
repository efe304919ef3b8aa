"""Ways to see, from outside the code under test, what a device runs."""

from __future__ import annotations

import itertools
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seatrial_runner.deadline import Deadline
from seatrial_runner.transport import Transport, open_transport
from seatrial_targets.inventory import Device

ALL = [
    "here",
    "board",
    # Emulated, so a hundred small tests take minutes; the faults of the lab stay among the fast ones.
    pytest.param("pi", marks=pytest.mark.lab),
    pytest.param("droid", marks=pytest.mark.lab),
]
_numbers = itertools.count()


@pytest.fixture(params=ALL)
def device(request: pytest.FixtureRequest) -> Device:
    """Each kind of device in turn."""
    found: Device = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def transport(device: Device) -> Iterator[Transport]:
    """An open transport to it; what it left in its folder there is removed."""
    with open_transport(device) as opened:
        yield opened
        opened.run(["rm", "-rf", opened.root], deadline=soon())


@pytest.fixture
def nap() -> list[str]:
    """A program that lasts too long, with a command line that is like no other."""
    return ["sleep", f"{4000 + next(_numbers)}.{os.getpid()}"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of 3 MB that doesn't repeat."""
    path = tmp_path / "a file"
    path.write_bytes(os.urandom(3_000_000))
    return path


def soon() -> Deadline:
    return Deadline.after(120)


@pytest.fixture
def running() -> Callable[[list[str]], bool]:
    """Tells whether a program runs, on this machine or in a lab device; zombies don't count."""

    def look(argv: list[str]) -> bool:
        lines = subprocess.run(["ps", "axwwo", "stat,args"], capture_output=True, text=True, check=True).stdout
        wanted = " ".join(argv)
        return any(wanted in line and not line.startswith("Z") for line in lines.splitlines())

    return look


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Waits for something to become true, generously."""

    def wait(true: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not true():
            assert time.monotonic() < end, "did not happen"
            time.sleep(0.05)

    return wait
