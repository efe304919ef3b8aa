"""Whose line was it? From an exception, or a node of a captured graph, to the user's file:line and module path."""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

_OURS = str(Path(__file__).parent.parent)
_STDLIB = sysconfig.get_paths()["stdlib"]
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')


def user_frame(error: BaseException, module: torch.nn.Module) -> str:
    """Return "model.py:12 in forward (module 'blocks.0')" for the deepest frame of user code, or the class.

    A third-party module's code counts as the user's when no file of their own is on the stack."""
    frames = [frame for each in _chain(error) for frame in _frames(each.__traceback__, module)]
    foreign = [frame for frame in frames if not _is_plumbing(frame[0])]
    own = [frame for frame in foreign if "site-packages" not in frame[0]] or foreign
    if not own:
        return type(module).__name__
    # The line is the user's, the module the deepest one: a Linear of torch's that their Sequential called.
    file, line, function, _ = own[-1]
    return _place(file, line, function, next((path for *_, path in reversed(frames) if path), ""))


def node_place(node: Any) -> str:
    """Return the user's file:line and the module path of an FX node of a captured graph; empty when unknown."""
    found = [match.groups() for match in _FRAME.finditer(node.meta.get("stack_trace") or "")]
    foreign = [frame for frame in found if not _is_plumbing(frame[0])]
    own = [frame for frame in foreign if "site-packages" not in frame[0]] or foreign
    path = node_module(node)
    if not own:
        return f"module {path!r}" if path else ""
    file, line, function = own[-1]
    return _place(file, int(line), function, path)


def node_module(node: Any) -> str:
    """Return the path of the module that an FX node came from, like 'blocks.0.attn'; empty for the root."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else ""


def _place(file: str, line: int, function: str, path: str) -> str:
    inside = f" (module {path!r})" if path else ""
    return f"{_short(file)}:{line} in {function}{inside}"


def _short(file: str) -> str:
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _is_plumbing(file: str) -> bool:
    if file.startswith(("<", _OURS)):
        return "/demo/" not in file
    if "site-packages" in file:
        return any(f"site-packages/{name}" in file for name in ("torch/", "onnx", "sympy/"))
    return file.startswith(_STDLIB)


def _chain(error: BaseException) -> Iterator[BaseException]:
    causes = []
    current: BaseException | None = error
    while current is not None and current not in causes:
        causes.append(current)
        current = current.__cause__ or current.__context__
    return reversed(causes)


def _frames(trace: TracebackType | None, module: torch.nn.Module) -> Iterator[tuple[str, int, str, str]]:
    names = {id(child): name for name, child in module.named_modules()}
    path = ""
    for frame, line in traceback.walk_tb(trace):
        path = names.get(id(frame.f_locals.get("self")), path)
        yield frame.f_code.co_filename, line, frame.f_code.co_name, path
