"""What `import seatrial` offers is a promise: a change here is a change for users."""

from __future__ import annotations

import importlib.util
import inspect

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
    "analyze",
    "bench",
    "calibrate",
    "compress",
    "export",
    "gate",
    "gate_policy",
    "judge_file",
    "judge_policy_files",
    "lint",
    "load_source",
    "restore_original",
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


@pytest.mark.parametrize("name", ["bench", "calibrate", "compress", "gate", "export", "judge_file"])
def test_public_functions_are_annotated(name: str) -> None:
    signature = inspect.signature(getattr(seatrial.api, name))
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())


@pytest.mark.parametrize("name", sorted(set(seatrial.__all__) - {"__version__"}))
def test_no_public_name_is_a_module_too(name: str) -> None:
    """Importing the module would put it in the place of the function."""
    assert importlib.util.find_spec(f"seatrial.{name}") is None
