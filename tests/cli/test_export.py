"""seatrial export through the program; what the exporter does has its own tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from peers.program import Call
from seatrial_runner.bundle import Bundle

MODEL = """\
import os, sys
import torch

def build():
    print("said by Python")
    os.write(1, b"said by C\\n")
    return torch.nn.Linear(4, 2), (torch.ones(1, 4),)

def leaves():
    sys.exit(0)

def raises():
    raise ValueError("the weights are gone")
"""


@pytest.fixture
def model(home: Path) -> str:
    """A model source in the working folder, whose factory prints by the way."""
    Path("net.py").write_text(MODEL)
    return "net.py"


@pytest.mark.parametrize(
    ("source", "said_of_it"),
    [
        ("absent.py:build", "absent.py"),
        ("net.py", "names no factory"),
        ("net.py:biuld", "did you mean 'build'"),
        ("net.py:raises", "the weights are gone"),
        ("net.py:leaves", "sys.exit(0)"),
    ],
)
def test_a_source_that_can_not_be_loaded(call: Call, model: str, source: str, said_of_it: str) -> None:
    said = call("export", source, "--target", "x86-64-cpu-fp32")
    assert said.code == 2
    assert said_of_it in said.err
    assert not Path("bundles").exists()


def test_an_unknown_target_is_said_before_the_model_is_loaded(call: Call, model: str) -> None:
    said = call("export", "net.py:raises", "--target", "x86-64-cpu-fp23")
    assert said.code == 2
    assert "did you mean 'x86-64-cpu-fp32'" in said.err


@pytest.mark.slow
def test_the_whole_error_of_the_converter_is_kept(program: Call, home: Path) -> None:
    source = """\
import torch

class Net(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x

def build():
    return Net(), (torch.ones(1, 4),)
"""
    Path("net.py").write_text(source)
    said = program("export", "net.py:build", "--target", "x86-64-cpu-fp32")
    assert said.code == 2
    assert "net.py:5 in forward" in said.err
    assert "--log FILE keeps the whole error" in said.err
    said = program("export", "net.py:build", "--target", "x86-64-cpu-fp32", "--log", "logs/export.log")
    assert "the whole error is in logs/export.log" in said.err
    assert "Traceback" in Path("logs/export.log").read_text()


@pytest.mark.slow
def test_the_one_document_on_stdout_whatever_the_model_prints(program: Call, model: str) -> None:
    said = program("export", "net.py:build", "--target", "x86-64-cpu-fp32", "--name", "net", "--json")
    assert said.code == 0, said.err
    document = said.document
    assert document["path"] == "bundles/net.x86-64-cpu-fp32"
    assert document["digest"] == Bundle.open(document["path"]).digest
    assert document["parity"]["sqnr_db"] > 60
    assert "said by Python" in said.err
    assert "said by C" in said.err


@pytest.mark.slow
def test_what_is_printed_for_people(program: Call, model: str) -> None:
    said = program("export", "net.py:build", "--target", "x86-64-cpu-fp32", "--name", "net")
    assert said.code == 0, said.err
    assert "bundle    bundles/net.x86-64-cpu-fp32\n" in said.out
    assert "\nsize      " in said.out
    assert "\nparity    with torch: SQNR " in said.out
