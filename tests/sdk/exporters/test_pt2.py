"""A .pt2 is loaded when it holds data only, and refused with a reason when loading it could run code."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from seatrial.exporters.pt2 import _is_arithmetic
from seatrial.source import load_source
from seatrial_targets.errors import ModelError


class Doubler(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 + torch.tensor([1.0, 2.0])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "model.pt2"
    batch = torch.export.Dim("batch", min=2, max=8)
    program = torch.export.export(Doubler().eval(), (torch.ones(2, 2),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return path


def rewritten(path: Path, change: Callable[[str, bytes], bytes], **extra: bytes) -> Path:
    made = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as new:
        for name in old.namelist():
            new.writestr(name, change(name.partition("/")[2], old.read(name)))
        for name, data in extra.items():
            new.writestr(name, data)
    return made


class Marker:
    """Unpickling it makes a folder: what an attacker's file would do, made visible."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_saved_program_comes_back_with_its_inputs(saved: Path) -> None:
    source = load_source(str(saved))
    assert list(source.inputs) == ["x"]
    assert source.call(source.inputs).tolist() == [[3, 4], [3, 4]]


def test_pickled_sample_inputs_are_not_run(saved: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.save(((Marker(tmp_path / "owned"),), {}), buffer)
    changed = rewritten(saved, lambda name, data: buffer.getvalue() if name.endswith("model.pt") else data)
    with pytest.raises(ModelError, match="pickle of more than tensors"):
        load_source(str(changed))
    assert not (tmp_path / "owned").exists()


def test_payloads_that_ask_for_pickle_are_refused(saved: Path) -> None:
    changed = rewritten(saved, lambda _, data: data.replace(b'"use_pickle": false', b'"use_pickle": true'))
    with pytest.raises(ModelError, match="stored as a pickled object"):
        load_source(str(changed))


@pytest.mark.parametrize(
    "target", ["torch.os.mkdir", "torch.ops.load_library", "_operator.call", "torch.ops.aten.add.__class__"]
)
def test_calls_of_other_than_operators_are_refused(saved: Path, target: str) -> None:
    changed = rewritten(saved, lambda _, data: data.replace(b"torch.ops.aten.mul.Tensor", target.encode()))
    with pytest.raises(ModelError, match="no operator of torch's"):
        load_source(str(changed))


def test_size_expressions_that_are_programs_are_refused(saved: Path, tmp_path: Path) -> None:
    evil = json.dumps(f"__import__('os').mkdir('{tmp_path / 'owned'}')")[1:-1].encode()

    def change(name: str, data: bytes) -> bytes:
        if not name.startswith("models/"):
            return data
        graph = json.loads(data)
        text = json.dumps(graph)
        start = text.index('"expr_str": "') + len('"expr_str": "')
        return (text[:start] + evil.decode() + text[text.index('"', start) :]).encode()

    with pytest.raises(ModelError, match="no arithmetic"):
        load_source(str(rewritten(saved, change)))
    assert not (tmp_path / "owned").exists()


def test_compiled_code_and_escapes_are_refused(saved: Path) -> None:
    with pytest.raises(ModelError, match="compiled code"):
        load_source(str(rewritten(saved, lambda _, data: data, **{"model/data/aotinductor/m/x.so": b"\x7fELF"})))
    with pytest.raises(ModelError, match="leave the archive"):
        load_source(str(rewritten(saved, lambda _, data: data, **{"model/../../x": b""})))


def test_an_archive_behind_another_is_refused(saved: Path) -> None:
    changed = saved.with_name("two.pt2")
    changed.write_bytes(saved.read_bytes() * 2)
    with pytest.raises(ModelError, match="does not begin where the file does"):
        load_source(str(changed))


def test_foreign_and_damaged_files(saved: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.pt2"
    torch.save({"a": 1}, foreign)
    with pytest.raises(ModelError, match=r"pickle of torch\.save"):
        load_source(str(foreign))
    foreign.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"no \.pt2 archive, or a damaged one"):
        load_source(str(foreign))
    with pytest.raises(ModelError, match="no such file"):
        load_source(str(tmp_path / "none.pt2"))


@pytest.mark.parametrize(
    "text", ["s0", "s0 + 1", "2*s77", "Add(Symbol('s0', positive=True, integer=True), Integer(1))", "Max(1, u0)"]
)
def test_arithmetic(text: str) -> None:
    assert _is_arithmetic(text)


@pytest.mark.parametrize(
    "text", ["f('x')", "exec('1')", "a.b", "(lambda: 1)()", "Symbol('a b')", "[1]", "", "S('x')", "x[0]", None]
)
def test_not_arithmetic(text: str | None) -> None:
    assert not _is_arithmetic(text)
