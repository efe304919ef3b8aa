"""Trials that are cut short: what was measured is kept, what was left behind is swept, and they go on."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from runner.conftest import QUICK, agents_running, leftovers
from seatrial_runner.journal import read_journal
from seatrial_runner.plan import Event
from seatrial_runner.records import Trial
from seatrial_runner.runtime.onnxruntime import OnnxRuntimeAgent
from seatrial_runner.trial import open_trial
from seatrial_targets.errors import CancelledError, LinkLostError, UserError
from seatrial_targets.inventory import Device


class Interrupt:
    """Raises what Ctrl-C raises, when the nth run begins."""

    def __init__(self, at: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.at, self.error, self.seen = at, error, 0

    def __call__(self, event: Event) -> None:
        self.seen += event.stage == "solo runs" and event.done < event.total
        if self.seen > self.at:
            raise self.error


def test_ctrl_c_keeps_what_was_measured_and_resume_goes_on(here: Device, make_bundle, tmp_path: Path):
    out, bundles, plan = tmp_path / "trial.json", {"candidate": make_bundle()}, QUICK.but(solo_runs=4)
    with (
        pytest.raises(CancelledError, match="--resume"),
        open_trial(here, bundles, plan, out=out, on_event=Interrupt(2)) as runner,
    ):
        runner.measure()
    assert leftovers(here) == []
    assert Trial.model_validate_json(out.read_bytes()).status == "cancelled"
    kept = read_journal(out.with_name("trial.json.journal")).runs
    with open_trial(here, bundles, plan, out=out, resume=True) as runner:
        runner.measure()
    assert runner.trial.status == "ok"
    assert len(runner.trial.of("solo")) == 4
    assert runner.trial.runs[: len(kept)] == kept


FAILS_ONCE = 'if [ -e ../../../failed ]; then exec "$0" "$@"; fi; : > ../../../failed; exit 1'


def test_runs_made_after_a_resume_have_numbers_of_their_own(here: Device, make_bundle, tmp_path: Path):
    out, bundles, plan = tmp_path / "trial.json", {"candidate": make_bundle()}, QUICK.but(solo_runs=3)
    with pytest.raises(CancelledError), open_trial(here, bundles, plan, out=out, on_event=Interrupt(2)) as runner:
        equipped = runner.session.equipped["candidate"]
        assert isinstance(equipped, OnnxRuntimeAgent)
        equipped.agent = ("sh", "-c", FAILS_ONCE, *equipped.agent)
        runner.measure()
    assert [run.status for run in runner.trial.runs] == ["device_error", "ok", "ok"]
    with open_trial(here, bundles, plan, out=out, resume=True) as runner:
        runner.measure()
    indices = [run.index for run in runner.trial.runs]
    assert len(set(indices)) == len(indices) == 4


def test_another_library_is_another_setting(here: Device, make_bundle, tmp_path: Path):
    out, bundles = tmp_path / "trial.json", {"candidate": make_bundle()}
    with pytest.raises(CancelledError), open_trial(here, bundles, QUICK, out=out, on_event=Interrupt(1)) as runner:
        runner.measure()
    blob = Path(str(here.root)) / runner.trial.settings["library"]
    other = here.model_copy(update={"library": str(blob)})
    with pytest.raises(UserError, match="setting"), open_trial(other, bundles, QUICK, out=out, resume=True):
        pass


def test_what_is_free_later_does_not_change_how_bundles_are_compared(here: Device, make_bundle):
    with open_trial(here, {"candidate": make_bundle("new"), "baseline": make_bundle("old")}, QUICK) as runner:
        runner.memory(1)
        runner.pairs(1)
        runner.session.state = runner.session.state.model_copy(update={"memory_available": 1})
        runner.pairs(2)
    assert len(runner.trial.of("duet")) == 2
    assert runner.trial.of("solo") == ()


def test_what_crashed_runners_left_is_swept(here: Device, make_bundle):
    blobs = Path(str(here.root)) / "blobs"
    blobs.mkdir(parents=True)
    for name, days in (("old.part", 3), ("old.part.token", 3), ("new.part", 0), ("old", 3)):
        (blobs / name).write_text("x")
        os.utime(blobs / name, (time.time() - days * 86_400,) * 2)
    (blobs.parent / "lease.0123456789abcdef").write_text("")
    with open_trial(here, {"candidate": make_bundle()}, QUICK):
        pass
    assert leftovers(here) == []
    assert {"new.part", "old"} <= {path.name for path in blobs.iterdir()}
    assert not list(blobs.glob("old.part*"))


def test_a_link_lost_before_the_last_look_at_the_device_loses_no_run(here: Device, make_bundle, tmp_path: Path):
    out, bundles = tmp_path / "trial.json", {"candidate": make_bundle()}

    def gone() -> None:
        raise LinkLostError("here: gone")

    with pytest.raises(LinkLostError), open_trial(here, bundles, QUICK, out=out) as runner:
        runner.measure()
        runner.session.read_state = gone
    kept = Trial.model_validate_json(out.read_bytes())
    assert (kept.status, kept.after, len(kept.of("solo"))) == ("device_error", None, 2)
    with open_trial(here, bundles, QUICK, out=out, resume=True) as runner:
        runner.measure()
    assert runner.trial.runs == kept.runs
    assert runner.trial.status == "ok"
    assert runner.trial.after is not None


def test_a_defect_keeps_what_was_measured_too(here: Device, make_bundle, tmp_path: Path):
    out = tmp_path / "trial.json"
    with pytest.raises(ZeroDivisionError), open_trial(here, {"candidate": make_bundle()}, QUICK, out=out) as runner:
        runner.solo(1)
        raise ZeroDivisionError
    kept = Trial.model_validate_json(out.read_bytes())
    assert (kept.status, kept.reason, len(kept.of("solo"))) == ("harness_error", "ZeroDivisionError", 1)
    assert leftovers(here) == []


def test_unlike_trials_are_not_resumed(here: Device, make_bundle, tmp_path: Path):
    out, bundles = tmp_path / "trial.json", {"candidate": make_bundle()}
    with pytest.raises(CancelledError), open_trial(here, bundles, QUICK, out=out, on_event=Interrupt(1)) as runner:
        runner.measure()
    with (
        pytest.raises(UserError, match="setting"),
        open_trial(here, bundles, QUICK.but(solo_iterations=21), out=out, resume=True),
    ):
        pass
    with (
        pytest.raises(UserError, match="no unfinished"),
        open_trial(here, bundles, QUICK, out=tmp_path / "other.json", resume=True),
    ):
        pass


def test_an_unfinished_trial_is_set_aside_not_overwritten(here: Device, make_bundle, tmp_path: Path):
    out, bundles = tmp_path / "trial.json", {"candidate": make_bundle()}
    with pytest.raises(CancelledError), open_trial(here, bundles, QUICK, out=out, on_event=Interrupt(1)) as runner:
        runner.measure()
    old = runner.trial.id
    with open_trial(here, bundles, QUICK, out=out):
        pass
    assert read_journal(tmp_path / f"trial.json.journal.{old}").id == old


def kill_agent_when_it_runs(here: Device, times: int) -> threading.Thread:
    def hunt() -> None:
        killed, deadline = 0, time.monotonic() + 30
        while killed < times and time.monotonic() < deadline:
            for exe in Path("/proc").glob("[0-9]*/cwd"):
                try:
                    inside = str(here.root) + "/runs/" in os.readlink(exe)
                    comm = (exe.parent / "comm").read_text().strip()
                except OSError:
                    continue
                if inside and comm not in ("sh", "timeout", "dash"):
                    os.kill(int(exe.parent.name), signal.SIGKILL)
                    killed += 1
                    time.sleep(0.3)
            time.sleep(0.01)

    thread = threading.Thread(target=hunt, daemon=True)
    thread.start()
    return thread


def test_a_killed_agent_is_recorded_and_its_run_made_again(here: Device, make_bundle):
    plan = QUICK.but(solo_runs=1, warmup_min_ns=1_000_000_000)
    with open_trial(here, {"candidate": make_bundle()}, plan) as runner:
        hunter = kill_agent_when_it_runs(here, times=1)
        runner.solo(1)
        hunter.join()
    assert [run.status for run in runner.trial.runs] == ["device_error", "ok"]
    assert "SIGKILL" in runner.trial.runs[0].reason


def test_kill_minus_nine_of_the_host_leaves_no_process_and_the_next_contact_cleans_up(here: Device, make_bundle):
    bundle = make_bundle()
    code = (
        "import sys; from pathlib import Path; from seatrial_targets.inventory import Device;"
        "from seatrial_runner.bundle import Bundle; from seatrial_runner.plan import Plan;"
        "from seatrial_runner.trial import open_trial\n"
        f"device = Device(name='here', target={here.target!r}, transport='local', root=sys.argv[1])\n"
        "with open_trial(device, {'candidate': Bundle.open(sys.argv[2])},"
        " Plan(warmup_min_ns=60_000_000_000, warmup_max_ns=90_000_000_000)) as runner:\n"
        "    print('go', flush=True); runner.solo(1)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(here.root), str(bundle.path)], stdout=subprocess.PIPE
    ) as host:
        assert host.stdout.readline() == b"go\n"
        while not agents_running(here):
            time.sleep(0.01)
        host.kill()
    patience = time.monotonic() + 30
    while agents_running(here) and time.monotonic() < patience:
        time.sleep(0.01)
    assert agents_running(here) == []
    with open_trial(here, {"candidate": bundle}, QUICK) as runner:
        runner.solo(1)
    assert leftovers(here) == []
