"""The real pymobiledevice3, in an environment of its own: a program that users install, never a part of Seatrial."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

from peers import lab

VERSION = "11.45.0"
FOLDER = lab.FOLDER / f"pymobiledevice3-{VERSION}"


def install() -> Path:
    """Install it, once. Return the folder with the program, for PATH."""
    lab.FOLDER.mkdir(exist_ok=True)
    with (lab.FOLDER / "pymobiledevice3.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (FOLDER / "whole").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", FOLDER], check=True)
            pip = [FOLDER / "bin" / "pip", "install", "-q", "--disable-pip-version-check"]
            subprocess.run([*pip, f"pymobiledevice3=={VERSION}"], check=True)
            (FOLDER / "whole").touch()
    return FOLDER / "bin"
