"""The stand-in runner is held to the same vectors as the Swift core, so that what is tested with it is the contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peers.apple_runner import MadeDevice, Measurement

from .vectors import NAMES, load, write


@pytest.mark.parametrize("name", NAMES)
def test_the_stand_in_answers_as_the_contract_says(name: str, tmp_path: Path) -> None:
    vector = load(name)
    folder = write(vector, tmp_path)
    line, marker, _ = Measurement(MadeDevice(folder)).attempt((folder / "job.json").read_text()).split(b"\n")
    assert json.loads(line) == vector["expect"]
    assert marker.startswith(b"seatrial-end ")
