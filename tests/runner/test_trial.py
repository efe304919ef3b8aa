"""Whole trials on this machine: real agent, real ONNX Runtime, real processes."""

import time
from pathlib import Path

import numpy as np
import pytest

from runner.conftest import QUICK, leftovers
from seatrial_runner.plan import Event
from seatrial_runner.records import AgentResult, RunKind, Trial, agent_arm
from seatrial_runner.run import RunRequest
from seatrial_runner.runtime.onnxruntime import OnnxRuntimeAgent
from seatrial_runner.session import DeviceSession
from seatrial_runner.trial import RunFailedError, TrialRunner, open_trial
from seatrial_targets.errors import AgentError, HarnessError, LeaseHeldError, UserError
from seatrial_targets.inventory import Device


def test_a_bench_brings_back_raw_samples(here: Device, make_bundle, tmp_path: Path):
    out = tmp_path / "trial.json"
    with open_trial(here, {"candidate": make_bundle()}, QUICK, out=out, version="1") as runner:
        runner.measure()
    trial = Trial.model_validate_json(out.read_bytes())
    assert trial == runner.trial
    assert [run.kind for run in trial.runs] == ["memory", "solo", "solo"]
    solo = agent_arm(trial.of("solo")[0], "candidate")
    assert len(solo.wall_ns) == 20
    assert all(check.ok and check.rel_l2 < 1e-4 for check in solo.checks)
    memory = trial.of("memory")[0].result.memory
    assert memory.peak_load >= memory.baseline_rss > 0
    assert trial.before.machine == trial.after.machine
    assert leftovers(here) == []
    assert not out.with_name("trial.json.journal").exists()


def test_energy_says_why_there_is_none(here: Device, make_bundle):
    with open_trial(here, {"candidate": make_bundle()}, QUICK) as runner:
        pass
    if runner.session.meter.meter is None:
        assert runner.trial.unmeasured["energy"]


def test_duets_swap_the_first_arm_from_run_to_run(here: Device, make_bundle):
    bundles = {"candidate": make_bundle("new"), "baseline": make_bundle("old", depth=40)}
    with open_trial(here, bundles, QUICK) as runner:
        runner.pairs(4)
    runs = runner.trial.of("duet")
    assert [run.first for run in runs] == ["a", "b", "a", "b"]
    for run in runs:
        new, old = (agent_arm(run, name).wall_ns for name in ("candidate", "baseline"))
        assert len(new) == len(old) == 8
        assert sorted(old)[4] > sorted(new)[4]  # ten times the work


def test_separate_pairs_are_in_abba_order(here: Device, make_bundle):
    bundles = {"candidate": make_bundle("new"), "baseline": make_bundle("old")}
    with open_trial(here, bundles, QUICK.but(comparison="separate")) as runner:
        runner.pairs(2)
        assert runner.pairs_made() == 2
    assert [(run.pair, run.arms["a"]) for run in runner.trial.runs] == [
        (0, "candidate"),
        (0, "baseline"),
        (1, "baseline"),
        (1, "candidate"),
    ]


def test_wrong_outputs_end_the_trial_before_any_timing(here: Device, make_bundle, tmp_path: Path):
    out = tmp_path / "trial.json"
    bundle = make_bundle(golden=np.ones((1, 64), np.float32))
    with pytest.raises(RunFailedError, match="y"), open_trial(here, {"candidate": bundle}, QUICK, out=out) as runner:
        runner.measure()
    trial = Trial.model_validate_json(out.read_bytes())
    assert trial.status != "ok"
    assert trial.runs[0].result.error.stage == "check"
    assert not any(arm.wall_ns for run in trial.runs for arm in run.result.arms.values())
    assert leftovers(here) == []


def test_a_bundle_for_another_architecture_is_refused(here: Device, make_bundle):
    other = "arm64-cpu-fp32" if here.target.startswith("x86") else "x86-64-cpu-fp32"
    bundle = make_bundle(target=other)
    with pytest.raises(UserError, match=other), open_trial(here, {"candidate": bundle}, QUICK):
        pass


def test_the_second_session_sends_nothing(here: Device, make_bundle):
    bundle = make_bundle()
    with open_trial(here, {"candidate": bundle}, QUICK) as first:
        pass
    with open_trial(here, {"candidate": bundle}, QUICK) as second:
        pass
    assert first.session.bytes_sent > 0
    assert second.session.bytes_sent == 0


def test_two_runners_never_measure_at_once(here: Device, make_bundle):
    bundle = make_bundle()
    with open_trial(here, {"candidate": bundle}, QUICK) as runner:
        runner.solo(1)
        with pytest.raises(LeaseHeldError, match="is measuring"), open_trial(here, {"candidate": bundle}, QUICK):
            pass
        runner.solo(2)
    assert len(runner.trial.of("solo")) == 2


def test_a_runner_whose_lease_was_taken_is_sent_home(here: Device, make_bundle):
    with pytest.raises(LeaseHeldError, match="lost"), open_trial(here, {"candidate": make_bundle()}, QUICK) as runner:
        runner.solo(1)
        (Path(str(here.root)) / "lease").write_text("feedbeef 99999999999 - somebody@else\n")
        runner.solo(2)
    assert (Path(str(here.root)) / "lease").read_text().startswith("feedbeef")


def without(session: DeviceSession, kind: RunKind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the session's runtime one that has no runs of ``kind``."""
    for equipped in session.equipped.values():
        monkeypatch.setattr(equipped, "lacks", lambda asked: "it has none" if asked == kind else "")


def test_a_runtime_without_duets_gives_separate_pairs(here: Device, make_bundle, monkeypatch):
    bundles = {"candidate": make_bundle(), "baseline": make_bundle()}
    with open_trial(here, bundles, QUICK) as runner:
        without(runner.session, "duet", monkeypatch)
        runner.pairs(1)
    assert len(runner.trial.of("solo")) == 2
    assert not runner.trial.of("duet")


def test_duets_that_were_asked_for_and_can_not_be_are_an_error(here: Device, make_bundle, monkeypatch):
    bundles = {"candidate": make_bundle(), "baseline": make_bundle()}
    with (
        pytest.raises(UserError, match="no duets: it has none"),
        open_trial(here, bundles, QUICK.but(comparison="duet")) as runner,
    ):
        without(runner.session, "duet", monkeypatch)
        runner.pairs(1)


def test_what_gives_itself_away_as_a_stand_in_stamps_the_trial(here: Device, make_bundle, monkeypatch):
    monkeypatch.setattr(OnnxRuntimeAgent, "stamp", lambda self: "stand-in trtexec")
    board = here.model_copy(update={"stamp": "qemu-user"})
    with open_trial(board, {"candidate": make_bundle()}, QUICK) as runner:
        pass
    assert runner.trial.device.stamp == "qemu-user; stand-in trtexec"


def test_a_stand_in_that_slips_in_later_is_an_error(here: Device, make_bundle, monkeypatch):
    def slipped(self: OnnxRuntimeAgent, request: RunRequest) -> AgentResult:
        return AgentResult(agent="native", agent_version="1", status="ok", stamp="stand-in trtexec")

    monkeypatch.setattr(OnnxRuntimeAgent, "execute", slipped)
    with (
        pytest.raises(AgentError, match="stand-in trtexec"),
        open_trial(here, {"candidate": make_bundle()}, QUICK) as r,
    ):
        r.solo(1)


def test_a_runtime_that_can_not_tell_its_memory_has_no_memory_runs(here: Device, make_bundle, monkeypatch):
    with open_trial(here, {"candidate": make_bundle()}, QUICK) as runner:
        without(runner.session, "memory", monkeypatch)
        runner.measure()
    assert not runner.trial.of("memory")
    assert runner.trial.of("solo")


def test_bundles_that_do_not_fit_together_are_run_apart(here: Device, make_bundle):
    with open_trial(here, {"candidate": make_bundle("new"), "baseline": make_bundle("old")}, QUICK) as runner:
        runner.memory(1)
        runner.session.state = runner.session.state.model_copy(update={"memory_available": 1})
        runner.pairs(2)
    assert [run.pair for run in runner.trial.of("solo")] == [0, 0, 1, 1]


def test_a_slow_push_keeps_the_lease(here: Device, make_bundle):
    left: list[float] = []

    def look(event: Event) -> None:
        if event.unit == "bytes" and event.total > 10_000_000:  # the runtime library
            expiry = (Path(str(here.root)) / "lease").read_text().split()[1].partition("@")[0]
            left.append(int(expiry) - time.clock_gettime(time.CLOCK_BOOTTIME))

    with open_trial(here, {"candidate": make_bundle()}, QUICK, on_event=look):
        pass
    assert min(left) > 120


def test_nobody_pushes_whose_lease_was_taken(here: Device, make_bundle):
    lease = Path(str(here.root)) / "lease"

    def steal(event: Event) -> None:
        if event.unit == "bytes":
            lease.write_text(f"feedbeef {int(time.time()) + 100} - somebody@else\n")

    taken = pytest.raises(LeaseHeldError, match="lost to somebody@else")
    with taken, open_trial(here, {"candidate": make_bundle()}, QUICK, on_event=steal) as runner:
        runner.solo(1)
    assert lease.read_text().startswith("feedbeef")


def target_with(here: Device, folder: Path, runtime: str) -> str:
    path = folder / "special.yaml"
    path.write_text(f"extends: {here.target}\nruntime: {{{runtime}}}\n")
    return str(path)


def test_the_runtime_library_must_suit_both_bundles(here: Device, make_bundle, tmp_path: Path):
    old = make_bundle("old", target=target_with(here, tmp_path, "versions: '<1.0'"))
    with (
        pytest.raises(UserError, match=r"no ONNX Runtime library .*<1\.0"),
        open_trial(here, {"candidate": make_bundle("new"), "baseline": old}, QUICK),
    ):
        pass


def test_targets_that_want_other_threads_are_noted(here: Device, make_bundle, tmp_path: Path):
    old = make_bundle("old", target=target_with(here, tmp_path, "threads: 2"))
    with open_trial(here, {"candidate": make_bundle("new"), "baseline": old}, QUICK) as runner:
        pass
    assert "the candidate 1 and that of the baseline 2; all runs had 1" in runner.trial.notes[0]


def test_an_unwritable_result_is_told_before_anything_is_measured(here: Device, make_bundle, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(HarnessError, match="--out"),
        open_trial(here, {"candidate": make_bundle()}, QUICK, out=tmp_path / "file" / "trial.json"),
    ):
        pass
    assert leftovers(here) == []


def test_the_same_run_twice_is_never_counted(here: Device, make_bundle):
    with open_trial(here, {"candidate": make_bundle()}, QUICK) as runner:
        assert isinstance(runner, TrialRunner)
        runner.solo(2)
        runner.solo(2)
    assert len(runner.trial.of("solo")) == 2
