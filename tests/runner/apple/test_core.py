"""The Swift core, compiled by a real Swift compiler, against the vectors of the contract."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peers import lab, swift

from .vectors import NAMES, load, write

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def core() -> None:
    """The core, built; or a skip."""
    lab.require_root()
    swift.build_core()


@pytest.mark.parametrize("name", NAMES)
def test_the_core_answers_as_the_contract_says(core: None, name: str, tmp_path: Path) -> None:
    vector = load(name)
    line, marker, rest = swift.answer(write(vector, tmp_path / name)).split(b"\n")
    assert json.loads(line) == vector["expect"]
    token = vector["job"]["token"] if isinstance(vector["job"], dict) else "-"
    assert (marker, rest) == (f"seatrial-end {token if vector['expect'].get('apple') else '-'}".encode(), b"")
