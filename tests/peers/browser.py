"""A real Chromium for the pages that Seatrial writes: Debian's own, installed by apt where that is possible."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NEEDS = "needs Chromium: apt-get install chromium (the tests do it themselves, as root on Debian)"
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def program() -> str:
    """Return the path of Chromium, installed if need be; skip with a notice where it can't be had.

    SEATRIAL_REQUIRE_BROWSER makes of that skip a failure.
    """
    found = shutil.which("chromium") or (_install() and shutil.which("chromium"))
    if found:
        return found
    if os.environ.get("SEATRIAL_REQUIRE_BROWSER"):
        pytest.fail(NEEDS)
    pytest.skip(NEEDS)


def _install() -> bool:
    debian = "\nID=debian\n" in Path("/etc/os-release").read_text() if sys.platform == "linux" else False
    if not debian or os.geteuid() != 0:
        return False
    script = (
        "compgen -G '/var/lib/apt/lists/*Packages*' >/dev/null || apt-get update -qq; "
        "apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null"
    )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return True


@contextmanager
def chromium() -> Iterator[Any]:
    """Run a headless Chromium for as long as it is needed."""
    path = program()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()
