"""`seatrial bench --compute-units` on a stand-in Mac, as a user calls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from peers.program import in_a_process
from seatrial_runner.bundle import Bundle
from seatrial_runner.records import Trial
from seatrial_targets.inventory import Device

QUICK = ("--runs", "1", "--iterations", "4", "--memory-runs", "0", "--energy-runs", "0", "--warmup-seconds", "0")
KEYS = ("target", "transport", "address", "port", "key", "stamp")


@pytest.fixture
def bench(new_mac: Callable[..., Device], tmp_path: Path) -> list[str]:
    """The words of a bench on a stand-in Mac."""
    device, file = new_mac(), tmp_path / "devices.yaml"
    rows = "".join(f"    {key}: {getattr(device, key)}\n" for key in KEYS)
    file.write_text(f"devices:\n  mini:\n{rows}")
    return ["bench", "--device", "mini", "--devices", str(file), *QUICK]


@pytest.mark.slow
def test_each_of_the_compute_units_has_its_trial(
    bench: list[str], make_package: Callable[..., Bundle], tmp_path: Path
) -> None:
    out = tmp_path / "trials"
    out.mkdir()
    said = in_a_process(*bench, make_package().path, "--compute-units", "each", "--out", out)
    assert (said.code, said.err) == (0, said.err)
    trials = [Trial.model_validate_json(path.read_bytes()) for path in sorted(out.glob("*.json"))]
    units = {trial.settings["compute_units"] for trial in trials}
    assert units == {"ALL", "CPU_ONLY", "CPU_AND_GPU", "CPU_AND_NE"}
    assert "CPU_AND_NE: compiled in 0 ms, loaded in 0 ms" in said.out
    assert "cold" in trials[0].unmeasured


def test_units_of_another_runtime(make_bundle: Callable[..., Bundle]) -> None:
    said = in_a_process("bench", make_bundle().path, "--device", "local", "--compute-units", "CPU_ONLY")
    assert said.code == 2
    assert "is for onnxruntime; --compute-units are those of Core ML" in said.err
