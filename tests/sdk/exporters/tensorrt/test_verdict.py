"""What is said of an exported file: by the linter, by NVIDIA's compiler where it is there, and when it dies."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from sdk.verify.small_models import FLOATING, REJECTED, conv
from seatrial.cli import cli
from seatrial.exporters.tensorrt import verdict
from seatrial.verify.tensorrt import Compiled
from seatrial_runner.bundle import Bundle
from seatrial_targets.errors import ExportError, HarnessError

from .models import target

TARGET = target("jetson-thor-int8")
KINDS = {"a/Conv": "int8", "b/Conv": "half", "fc/Gemm": "int8"}
OPERATORS = {"a/Conv": "Conv", "b/Conv": "Conv", "fc/Gemm": "Gemm"}


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Any:
    """answer(Compiled(...)) or answer(error): NVIDIA's compiler is there, and that is what it says."""

    def made(given: Any) -> None:
        def check(*_: object) -> Compiled:
            if isinstance(given, Exception):
                raise given
            return given

        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
        monkeypatch.setattr(verdict, "check", check)

    return made


def run(made: Any = None) -> verdict.Checks:
    return verdict.run_checks(made or conv(), TARGET, None, lambda stage: None)


def test_the_layers_that_do_not_run_in_int8_are_named_with_what_can_not_be_shown(answer: Any) -> None:
    answer(Compiled("1.7", True, (), KINDS, OPERATORS))
    (note,) = run().notes
    assert "1 of 2 convolutions and 1 of 1 gemms run in INT8; not: b/Conv (half)" in note
    assert "not shown: what the parsers of TensorRT 8 and 10 take" in note
    assert run().record()["compiled"]["kinds"] == KINDS


def test_what_it_rejects_is_said_and_exported_all_the_same(answer: Any) -> None:
    answer(Compiled("1.7", False, (("conv", "has no kernel"),), {}))
    assert run().notes == ("NVIDIA's compiler (TensorRT-RTX 1.7) does not build it: conv: has no kernel",)


def test_a_compiler_that_dies_is_no_verdict(answer: Any) -> None:
    answer(HarnessError("NVIDIA's compiler died (signal 11); the model was not checked"))
    checks = run()
    assert checks.compiled is None
    assert checks.notes == ("NVIDIA's compiler died (signal 11); the model was not checked",)
    assert checks.record()["compiled"] is None


def test_without_it_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert run().notes == ("not tried with NVIDIA's own compiler: the extra [tensorrt-check] is not installed",)


@pytest.mark.parametrize("name", REJECTED)
def test_what_tensorrt_rejects_is_never_exported(name: str, answer: Any) -> None:
    answer(AssertionError("NVIDIA's compiler was asked, though the linter knew"))
    make, rule = REJECTED[name]
    with pytest.raises(ExportError, match=f"would reject the model: .*{rule}"):
        run(make())


def test_what_runs_in_float_is_a_note(answer: Any) -> None:
    answer(Compiled("1.7", True, (), {}, {}))
    notes = run(FLOATING["weight axis"][0]()).notes
    assert any(note.startswith("weight-axis: Conv conv its weight has 16 scales along axis 1") for note in notes)


def test_bundle_layers_shows_the_worst_first(capsys: pytest.CaptureFixture[str], bundle_of: Any) -> None:
    bundle: Bundle = bundle_of("int8")[0]
    assert called("layers", bundle) == 0
    said = capsys.readouterr().out
    noise = {each["name"]: each["own_db"] for each in json.loads(bundle.file("layers.json").read_bytes())["layers"]}
    shown = [line.split()[0] for line in said.splitlines() if line.split()[:1] and line.split()[0] in noise]
    assert shown == sorted(noise, key=lambda name: noise[name])
    called("layers", bundle, "--json")
    assert json.loads(capsys.readouterr().out)["schema"] == "seatrial.layers/1"
    called("show", bundle)
    assert "calibrated on 8 samples" in capsys.readouterr().out


def test_a_bundle_without_such_figures_says_so(capsys: pytest.CaptureFixture[str], bundle_of: Any) -> None:
    assert called("layers", bundle_of("fp32")[0]) == 2
    assert "int8 bundles for TensorRT have them" in capsys.readouterr().err


def called(command: str, bundle: Bundle, *more: str) -> int:
    return int(cli.main(["bundle", command, str(bundle.path), *more], standalone_mode=False) or 0)


def test_the_records_of_a_bundle(bundle_of: Any) -> None:
    bundle: Bundle = bundle_of("int8")[0]
    checks = json.loads(Path(bundle.file("checks.json")).read_bytes())
    assert checks["schema"] == "seatrial.tensorrt-checks/1"
    assert [f for f in checks["findings"] if f["severity"] != "hint"] == []
    assert {entry.path for entry in bundle.manifest.files if entry.role == "record"} == {
        "build.json", "checks.json", "layers.json",
    }  # fmt: skip
