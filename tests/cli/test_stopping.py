"""Ctrl-C and SIGTERM at any moment: the device is given back, what was measured is kept, --resume goes on."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from peers.program import PROGRAM, QUICK, Call
from seatrial_ci.gate import load_trial
from seatrial_runner.bundle import Bundle
from seatrial_runner.journal import read_journal

MakeBundle = Callable[..., Bundle]
LONG = (*QUICK, "--runs", "400", "--iterations", "2000")


def started(bundle: Bundle, *words: str) -> subprocess.Popen[str]:
    argv = [str(PROGRAM), "bench", str(bundle.path), "--device", "local", "--out", "trial.json", *LONG, *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not what():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)


def begun() -> bool:
    return Path("trial.json.journal").exists()


def kept_runs() -> int:
    """Return how many runs on disk count. Of each there are two lines: before the device's state is read, and after."""
    if not begun():
        return 0
    return sum(run.status == "ok" and not run.invalid for run in read_journal(Path("trial.json.journal")).runs)


def left_on_the_device(home: Path) -> list[str]:
    return sorted(path.name for path in (home / ".cache" / "seatrial" / "device").iterdir() if path.name != "blobs")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda v: str(v)
)
def test_a_signal_gives_the_device_back_and_keeps_what_was_measured(
    number: signal.Signals, code: int, home: Path, make_bundle: MakeBundle
) -> None:
    process = started(make_bundle())
    wait_for(lambda: kept_runs() >= 2)
    process.send_signal(number)
    process.send_signal(number)  # as `timeout` does: the second must not break the cleaning up
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert out == ""
    assert "--resume" in err
    assert left_on_the_device(home) == []
    kept = load_trial(Path("trial.json"))
    assert kept.status == "cancelled"
    assert sum(run.status == "ok" for run in kept.runs) >= 2


def test_a_stopped_trial_goes_on(call: Call, make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    process = started(bundle)
    wait_for(lambda: kept_runs() >= 2)
    process.terminate()
    process.communicate(timeout=60)
    kept = [run for run in load_trial(Path("trial.json")).runs if run.status == "ok"]
    other = call("bench", bundle.path, "--device", "local", "--out", "trial.json", "--resume", *QUICK)
    assert other.code == 2
    assert "unlike runs don't mix" in other.err
    again = started(bundle, "--resume")
    wait_for(lambda: kept_runs() > len(kept))
    again.terminate()
    again.communicate(timeout=60)
    resumed = load_trial(Path("trial.json"))
    assert resumed.runs[: len(kept)] == tuple(kept)
    assert len(resumed.runs) > len(kept)


@pytest.mark.slow
def test_a_stopped_gate_goes_on_to_its_verdict(call: Call, make_bundle: MakeBundle) -> None:
    new, old = make_bundle("new", depth=2), make_bundle("old", depth=60)
    words = ("gate", new.path, "--baseline", old.path, "--device", "local", "--out", "trial.json", "--looks", "8")
    argv = [str(word) for word in (PROGRAM, *words, *QUICK)]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: kept_runs() >= 6)  # memory and solo runs of both, the first duets
    process.terminate()
    assert process.wait(60) == 143
    kept = [run for run in load_trial(Path("trial.json")).runs if run.status == "ok"]
    said = call(*words, *QUICK, "--resume", "--json")
    assert said.code == 0, said.err
    assert said.document["checks"][0]["pairs"] == 8
    whole = load_trial(Path("trial.json"))
    assert whole.runs[: len(kept)] == tuple(kept)
    assert len(whole.of("duet")) == 8
    assert not Path("trial.json.journal").exists()


def test_the_error_document_of_a_stopped_command(make_bundle: MakeBundle) -> None:
    process = started(make_bundle(), "--json")
    wait_for(lambda: kept_runs() >= 1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert '"status": "cancelled"' in out
    assert err.startswith("error: ")


def test_a_second_runner_is_told_who_measures(call: Call, make_bundle: MakeBundle) -> None:
    bundle = make_bundle()
    process = started(bundle)
    wait_for(lambda: kept_runs() >= 1)
    said = call("bench", bundle.path, "--device", "local", "--out", "other.json", *QUICK)
    cleaned = call("devices", "clean", "local")
    process.terminate()
    process.communicate(timeout=60)
    assert said.code == 3
    assert f"(process {process.pid})" in said.err
    assert cleaned.code == 3


def test_a_caller_that_ignores_hangups_is_obeyed(make_bundle: MakeBundle) -> None:
    argv = [str(PROGRAM), "bench", str(make_bundle().path), "--device", "local", "--out", "trial.json", *QUICK]
    process = subprocess.Popen(
        ["nohup", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: begun() or process.poll() is not None)
    process.send_signal(signal.SIGHUP)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
