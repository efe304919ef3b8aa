"""A board's transcript becomes a fixture: the trial that was recorded, measured again without the board."""

from __future__ import annotations

from pathlib import Path

import pytest

from seatrial_runner.plan import Plan
from seatrial_runner.transport.transcript import Replay, recording
from seatrial_runner.trial import open_trial
from seatrial_targets.inventory import Device

PLAN = Plan(solo_runs=1, memory_runs=1, solo_iterations=8, memory_iterations=2, warmup_iterations=1, warmup_min_ns=0)


def test_a_trial_is_replayed_without_the_device(
    jetson: Device, make_bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "board.jsonl"
    with recording(file), open_trial(jetson, {"candidate": make_bundle()}, PLAN) as runner:
        runner.measure()
    first = runner.trial
    monkeypatch.setattr("seatrial_runner.session.open_transport", lambda device: Replay(file))
    with open_trial(jetson, {"candidate": make_bundle()}, PLAN) as runner:
        runner.measure()
    again = runner.trial
    assert again.status == "ok"
    assert [run.result for run in again.runs] == [run.result for run in first.runs]
    assert again.settings == first.settings
    assert again.builds == first.builds
    assert again.device.stamp == "stand-in trtexec"
    assert str(jetson.root) not in file.read_text()
