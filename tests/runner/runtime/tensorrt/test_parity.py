"""Outputs against golden ones: the same figures as the agents compute."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from seatrial_runner.agent import python_agent
from seatrial_runner.runtime.tensorrt.parity import check_outputs, compare
from seatrial_targets.errors import BundleError


def test_distance_is_relative_to_the_golden_norm() -> None:
    check = compare("y", np.array([3.0, 4.0, 1.0]), np.array([3.0, 4.0, 0.0]), 0.2)
    assert (check.rel_l2, check.max_abs, check.ok, check.argmax_equal) == (0.2, 1.0, True, True)
    assert not compare("y", np.array([3.0, 4.0, 1.0]), np.array([3.0, 4.0, 0.0]), 0.19).ok


def test_nan_where_the_golden_output_is_finite() -> None:
    check = compare("y", np.array([np.nan, 1.0]), np.array([1.0, 1.0]), 9.0)
    assert (check.nonfinite, check.ok, check.rel_l2) == (1, False, math.inf)


def test_the_same_infinity_is_equal() -> None:
    assert compare("y", np.array([np.inf, np.nan]), np.array([np.inf, np.nan]), 0.0).rel_l2 == 0


VALUES = npst.arrays(
    np.float32, 4, elements=st.floats(-1e3, 1e3, width=32) | st.sampled_from([np.nan, np.inf, -np.inf])
)


@given(VALUES, VALUES)
def test_as_the_agent_on_the_device_does(got: np.ndarray, want: np.ndarray) -> None:
    if str(python_agent()) not in sys.path:
        sys.path.append(str(python_agent()))
    from seatrial_agent.check import compare as compare_there
    from seatrial_agent.job import Tensor

    tensor = Tensor(b"float32", (4,), b"", 0.1, b"y")
    there = compare_there(tensor, got.tobytes(), memoryview(want.tobytes()))
    here = compare("y", got, want, 0.1)
    assert here.rel_l2 == pytest.approx(there["rel_l2"], rel=1e-12, nan_ok=True)
    assert {k: there[k] for k in ("max_abs", "nonfinite", "argmax_equal", "ok")} == {
        "max_abs": here.max_abs, "nonfinite": here.nonfinite, "argmax_equal": here.argmax_equal, "ok": here.ok,
    }  # fmt: skip


def test_outputs_of_a_bundle(make_bundle) -> None:
    bundle = make_bundle()
    golden = (np.arange(256) % 127 / 64).astype(np.float32)
    assert check_outputs(bundle, {"y": golden})[1] == ""
    assert "relative L2 error" in check_outputs(bundle, {"y": golden + 1})[1]
    assert check_outputs(bundle, {})[1] == "output 'y' is missing"
    assert "has 3 elements, the golden one 256" in check_outputs(bundle, {"y": golden[:3]})[1]


def test_a_golden_file_of_another_dtype_is_named(make_bundle) -> None:
    with pytest.raises(BundleError, match="holds float64"):
        check_outputs(make_bundle(golden=np.zeros((1, 4, 8, 8))), {})
