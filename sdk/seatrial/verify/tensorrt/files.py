"""The linter and NVIDIA's compiler on a file and a target by name: what the command line calls."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seatrial_targets.errors import UserError

from .check import Compiled, check
from .finding import Context, Finding
from .linter import lint_model

if TYPE_CHECKING:
    from seatrial_targets.profile import TargetProfile


def lint(model: Path | str, target: str) -> tuple[Finding, ...]:
    """Return what of an ONNX file (or of the one in a bundle) TensorRT would reject or silently run in float.

    ``target`` names a TensorRT target: its versions, precision and shapes decide which rules hold. Needs the extra
    ``[export]``. Raises UnknownNameError, UserError (a target of another runtime), ModelError (not an ONNX file).
    """
    profile = _tensorrt(target)
    from ..onnx_graph import read

    return lint_model(read(onnx_file(Path(model))), Context.of(profile))


def compile_check(model: Path | str, target: str) -> Compiled:
    """Let NVIDIA's parser and compiler (TensorRT-RTX) try an ONNX file, with the shapes of ``target``.

    Needs the extra ``[tensorrt-check]``. Raises as `lint` does, and HarnessError when the compiler dies.
    """
    profile = _tensorrt(target)
    from ..onnx_graph import read

    return check(read(onnx_file(Path(model))), dict(profile.shapes))


def onnx_file(path: Path) -> Path:
    """Return ``path``, or the ONNX file in the bundle at ``path``. Raises UserError, BundleError."""
    if not path.exists():
        raise UserError(f"{path}: no such file or bundle")
    if not path.is_dir():
        return path
    from seatrial_runner.bundle import Bundle

    opened = Bundle.open(path)
    found = [entry.path for entry in opened.manifest.files if entry.path.endswith(".onnx")]
    if len(found) != 1:
        raise UserError(f"{path}: the bundle holds {len(found)} ONNX files; name one")
    return opened.path / found[0]


def _tensorrt(name: str) -> TargetProfile:
    from seatrial_targets import registry

    profile = registry.get(name)
    if profile.runtime.name != "tensorrt":
        known = [each for each in registry.names() if "jetson" in each]
        text = f"target {name} runs {profile.runtime.name}; the linter knows the rules of TensorRT"
        raise UserError(f"{text}: take for example {known[0] if known else 'jetson-orin-nano-int8'}")
    return profile
