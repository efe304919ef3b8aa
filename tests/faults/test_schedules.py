"""A few schedules of faults over each wire; `benchmarks/fault_schedules.py` plays a thousand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.harness import play
from faults.schedule import WIRES, draw
from faults.stage import Stage
from peers import lab
from peers.sshd import find_sshd

# Chosen for what they hold: each kind of fault that needs a wire, and several at once.
CHOSEN = (("local", 12), ("ssh", 5), ("ssh", 337), ("pi", 10), ("pi", 14), ("droid", 3), ("droid", 7))


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    lab.require_root()
    if find_sshd() is None or shutil.which("adb") is None:
        lab.packages()
    before = dict(os.environ)
    try:
        with Stage(tmp_path_factory.mktemp("stage")) as stage:
            yield stage
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.mark.lab
@pytest.mark.parametrize(("wire", "number"), CHOSEN)
def test_every_promise_is_kept(stage: Stage, tmp_path: Path, wire: str, number: int) -> None:
    outcome = play(draw(number, wire), stage.world(wire), stage.bundles, tmp_path)
    assert outcome.violations == [], f"{outcome.schedule}: {outcome.first}"


def test_a_schedule_is_made_again_by_its_wire_and_number() -> None:
    assert draw(7, "pi") == draw(7, "pi") != draw(8, "pi")
    drawn = {fault.kind for number in range(400) for fault in draw(number, "droid").faults}
    assert drawn == set(WIRES["droid"])
