"""A small excerpt of real latencies, as kept in tests/data/README.md."""

from pathlib import Path

import numpy as np
import pytest

DATA = Path(__file__).parents[2] / "data" / "noisy_runs.npz"


@pytest.fixture(scope="session")
def noisy_duets():
    """24 duets of one model with itself: (first, second) of shape (60,), ns."""
    with np.load(DATA, allow_pickle=False) as data:
        return list(zip(data["duet_a_ns"], data["duet_b_ns"], strict=True))


@pytest.fixture(scope="session")
def noisy_run():
    """One run of 60 inferences, ns."""
    with np.load(DATA, allow_pickle=False) as data:
        return data["solo_ns"][0]
