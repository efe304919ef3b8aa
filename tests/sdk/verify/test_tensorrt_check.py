"""The linter's verdicts against NVIDIA's own parser and compiler, which need no GPU for that."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import pytest

from seatrial.verify.tensorrt import check as module_of_check
from seatrial.verify.tensorrt.check import check
from seatrial_targets.errors import HarnessError, UserError
from seatrial_targets.profile import ShapeRange

from .small_models import FLOATING, REJECTED, RIGHT, conv

INSTALLED = importlib.util.find_spec("tensorrt_rtx") is not None
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _compiler(request: pytest.FixtureRequest) -> None:
    if INSTALLED or "without" in request.node.name:
        return
    if os.environ.get("SEATRIAL_REQUIRE_LAB"):
        pytest.fail("NVIDIA's parser is not installed: pip install -e '.[tensorrt-check]'")
    pytest.skip("NVIDIA's parser is not installed: pip install -e '.[tensorrt-check]'")


@pytest.mark.parametrize("name", RIGHT)
def test_what_the_linter_lets_pass_runs_in_int8(name: str) -> None:
    compiled = check(RIGHT[name]())
    assert compiled.built, compiled.errors
    assert compiled.kinds
    assert set(compiled.kinds.values()) == {"int8"}


@pytest.mark.parametrize("name", REJECTED)
def test_what_the_linter_calls_an_error_is_rejected(name: str) -> None:
    compiled = check(REJECTED[name][0]())
    assert not compiled.built
    assert compiled.errors
    assert all(reason and "cudaError" not in reason for _, reason in compiled.errors)


@pytest.mark.parametrize("name", FLOATING)
def test_what_the_linter_warns_of_does_not_run_in_int8(name: str) -> None:
    compiled = check(FLOATING[name][0]())
    assert compiled.built, compiled.errors
    assert "int8" not in compiled.kinds.values()


def test_names_survive_whatever_they_are() -> None:
    made = conv()
    made.graph.node[-1].name = hostile = 'a]"\n[ONNX Layer: n0], LayerType: gemm'
    assert check(made).kinds == {hostile: "int8"}
    assert made.graph.node[-1].name == hostile


def test_a_dynamic_input_is_built_for_its_range() -> None:
    made = conv()
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    assert not check(made).built
    assert check(made, {"x": ShapeRange(min=(1, 16, 14, 14), opt=(2, 16, 14, 14), max=(4, 16, 14, 14))}).built


def test_a_compiler_that_dies_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dying = tmp_path / "probe.py"
    dying.write_text(f"import os, sys\nprint('last words', file=sys.stderr)\nos.kill(os.getpid(), {signal.SIGSEGV})\n")
    monkeypatch.setattr(module_of_check_file(), "__file__", str(tmp_path / "check.py"))
    with pytest.raises(HarnessError, match=r"signal 11.*last words"):
        check(conv())


def test_a_compiler_that_hangs_is_ended() -> None:
    with pytest.raises(HarnessError, match="did not end"):
        check(conv(), seconds=0.01)


def test_without_it_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="tensorrt-check"):
        check(conv())


def module_of_check_file() -> object:
    import sys

    return sys.modules[module_of_check.__module__]
