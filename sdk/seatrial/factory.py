"""Find and call the user's factory: `module:factory` or `file.py:factory`, with errors that point into their code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from seatrial_targets.errors import ModelError, SeatrialError, did_you_mean

from .source import ModelSource, from_returned

FORMS = "write module:factory, path/to/file.py:factory, path/to/model.pt2, or hf:FOLDER"


def find_factory(spec: str) -> tuple[Callable[[], Any], str]:
    """Import what ``spec`` names and return the factory and how messages call it. Raises ModelError."""
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name:
        raise ModelError(f"model {spec!r} names no factory; {FORMS}")
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    return _attribute(module, place, name), spec


def call_factory(factory: Callable[[], Any], spec: str) -> ModelSource:
    """Call ``factory`` and make a ModelSource of what it returns. Raises ModelError with the user's own line."""
    try:
        value = factory()
    except SeatrialError:
        raise
    except Exception as error:
        raise ModelError(f"{spec}: the factory raised {_summary(error)}\n{own_trace(error)}") from error
    name = spec.rpartition(":")[0].rpartition("/")[2].removesuffix(".py").rpartition(".")[2]
    return from_returned(value, spec, name)


def own_trace(error: BaseException) -> str:
    """Return the last few frames of ``error`` that are the user's, as Python prints them, without ours."""
    here = str(Path(__file__).parent)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((here, "<frozen"))]
    return "".join(traceback.format_list(own[-6:])).rstrip()


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        near = did_you_mean(path.name, [each.name for each in path.parent.glob("*.py")]) if path.parent.is_dir() else ""
        raise ModelError(f"{path}: no such file{near}; the path is relative to {Path.cwd()}")
    name = f"seatrial_model_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ModelError(f"{path}: can't be imported as Python; {FORMS}")
    module = importlib.util.module_from_spec(found)
    # Dataclasses and torch.export look classes up in sys.modules. Neighbours of the file can be imported, as with
    # `python file.py`.
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent.resolve()))
    try:
        found.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        raise ModelError(f"{path}: importing it raised {_summary(error)}\n{own_trace(error)}") from error
    finally:
        sys.path.remove(str(path.parent.resolve()))
    return module


def _import_module(name: str) -> ModuleType:
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            hint = f"; there is a file {name}.py: write {name}.py:factory" if Path(f"{name}.py").is_file() else ""
            raise ModelError(f"no module named {error.name!r}{hint}; is it installed, or in {here}?") from error
        raise ModelError(f"{name}: importing it raised {_summary(error)}\n{own_trace(error)}") from error
    except SeatrialError:
        raise
    except Exception as error:
        raise ModelError(f"{name}: importing it raised {_summary(error)}\n{own_trace(error)}") from error
    finally:
        sys.path.remove(here)


def _attribute(module: ModuleType, place: str, name: str) -> Callable[[], Any]:
    factory = getattr(module, name, None)
    own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
    if factory is None:
        raise ModelError(f"{place} has no function {name!r}{did_you_mean(name, own)}")
    if not callable(factory):
        raise ModelError(f"{place}:{name} is {type(factory).__name__}, not a function that returns the model")
    result: Callable[[], Any] = factory
    return result


def _summary(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({error.filename}:{error.lineno})"
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
