"""What the tests of pipelines share: bundles, and a home of one's own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from runner.conftest import make_bundle

__all__ = ["make_bundle"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a CI job: the program on the path, a home of its own, nothing of the caller's."""
    home = tmp_path / "home"
    home.mkdir()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(home), "LANG": "C.UTF-8"}
