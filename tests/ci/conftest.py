"""Fixtures that make trials."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from made_trials import TrialMaker


@pytest.fixture
def maker() -> TrialMaker:
    return TrialMaker()


@pytest.fixture
def makers() -> Callable[[int], TrialMaker]:
    return TrialMaker
