"""The stand-in for trtexec, put where a device has the real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "stand_in"


def install(folder: Path, version: str = "10.3.0", python: str = sys.executable, **settings: Any) -> Path:
    """Put the stand-in into ``folder`` as `trtexec`; ``settings`` go into its trtexec.json. Return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES.glob("trtexec*.py"):
        (folder / source.name).write_bytes(source.read_bytes())
    program = folder / "trtexec"
    lines = (SOURCES / "trtexec.py").read_text().splitlines(keepends=True)
    program.write_text("".join([f"#!{python}\n", *lines[1:]]))
    program.chmod(0o755)
    configure(program, version=version, **settings)
    return program


def configure(program: Path, **settings: Any) -> None:
    """Change how an installed stand-in behaves."""
    file = program.with_name("trtexec.json")
    known = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**known, **settings}))


def python_stand_ins(folder: Path) -> dict[str, str]:
    """Put the stand-ins for the package tensorrt and for libcudart into ``folder``; return the environment they need.

    The device's python3 then has ONNX Runtime from this Python, to compute with.
    """
    package = folder / "python" / "tensorrt"
    package.mkdir(parents=True)
    (package / "__init__.py").write_bytes((SOURCES / "tensorrt" / "__init__.py").read_bytes())
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to(sys.executable)
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", folder / "libcudart.so", SOURCES / "libcudart.c"], check=True, timeout=60
    )
    return {
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": f"{package.parent}:{sysconfig.get_path('purelib')}",
        "LD_LIBRARY_PATH": str(folder),
    }
