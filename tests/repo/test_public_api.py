"""What `import seatrial` offers is a promise: a change here is a change for users."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import seatrial
import seatrial.api
from seatrial_targets import errors

PUBLIC = {
    "Budgets",
    "Bundle",
    "GateSettings",
    "ModelSource",
    "SeatrialError",
    "TargetProfile",
    "Trial",
    "Verdict",
    "__version__",
    "bench",
    "export",
    "gate",
    "judge_file",
    "load_source",
}


def test_the_names_are_those_that_were_promised() -> None:
    assert set(seatrial.__all__) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__"}))
def test_each_name_is_there_and_documented(name: str) -> None:
    value = getattr(seatrial, name)
    assert (inspect.getdoc(value) or "").strip(), f"{name} has no docstring"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'exprot'"):
        seatrial.exprot  # noqa: B018


def test_dir_shows_the_public_names() -> None:
    assert set(dir(seatrial)) == PUBLIC


def test_every_error_is_a_seatrial_error_with_an_exit_code() -> None:
    kinds = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, Exception)]
    assert len(kinds) > 15
    for kind in kinds:
        assert issubclass(kind, seatrial.SeatrialError)
        assert kind.exit_code in (2, 3, 130)


@pytest.mark.parametrize("name", ["bench", "gate", "export", "judge_file"])
def test_public_functions_are_annotated(name: str) -> None:
    signature = inspect.signature(getattr(seatrial.api, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


@pytest.mark.parametrize(
    "before", ["", "import seatrial.export", "from seatrial.export import TABLE", "seatrial.export"]
)
def test_export_can_be_called_though_a_subpackage_has_its_name(before: str) -> None:
    code = f"""
import seatrial
{before}
for _ in range(2):
    try:
        seatrial.export("m:f", "no-such-target", "out")
    except seatrial.SeatrialError as error:
        print(type(error).__name__)
from seatrial.export import TABLE
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["UnknownNameError"] * 2
