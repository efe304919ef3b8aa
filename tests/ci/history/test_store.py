import multiprocessing
import sqlite3

import pytest
from sqlalchemy import text

from made_trials import TrialMaker
from seatrial_ci.gate import Outcome, judge
from seatrial_ci.history import History, default_path
from seatrial_runner.records import DeviceInfo
from seatrial_targets.budgets import Budgets
from seatrial_targets.errors import HarnessError, UnknownNameError, UserError


@pytest.fixture
def history(place):
    """A history in a file of SQLite, and one in PostgreSQL."""
    with History.open(place) as opened:
        yield opened


@pytest.fixture
def path(tmp_path):
    return tmp_path / "deep" / "history.sqlite"


@pytest.fixture
def trial(maker):
    return maker.solos(2).duets(8).trial()


def test_a_trial_comes_back_as_it_went_in(history, trial):
    assert history.add(trial, judge(trial, Budgets()))
    assert history.trial(trial.id) == trial
    assert history.verdicts(trial.id) == (judge(trial, Budgets()),)


def test_samples_beyond_four_seconds_come_back_too(history, maker):
    maker.run("solo", {"a": "candidate"}, maker.result(arms={"a": maker.arm([2**33, 5, 0])}))
    maker.run("solo", {"a": "candidate"}, None, status="timeout", reason="stuck")
    trial = maker.trial()
    history.add(trial)
    assert history.trial(trial.id) == trial


def test_adding_twice_changes_nothing(history, trial):
    verdict = judge(trial, Budgets())
    assert history.add(trial, verdict)
    assert not history.add(trial, verdict)
    assert len(history.list()) == len(history.verdicts(trial.id)) == 1


def test_another_trial_of_the_same_id_is_refused(history, trial):
    history.add(trial)
    with pytest.raises(UserError, match="other content"):
        history.add(trial.model_copy(update={"notes": ("changed",)}))
    assert history.trial(trial.id) == trial


def test_a_verdict_on_another_trial_is_refused(history, trial):
    with pytest.raises(UserError, match="not on"):
        history.add(trial.model_copy(update={"id": "other"}), judge(trial, Budgets()))
    assert history.list() == []


def test_the_latest_verdict_is_listed(history, trial):
    history.add(trial, judge(trial, Budgets()))
    history.add(trial, judge(trial, Budgets.model_validate({"size": "1 MB"})))
    assert [entry.outcome for entry in history.list()] == ["FAIL"]
    assert len(history.verdicts(trial.id)) == 2


def test_lists_are_newest_first_and_can_be_narrowed(history, maker):
    for i, name in enumerate(["pi", "phone", "pi"]):
        device = DeviceInfo(name=name, target="t", transport="ssh", stamp="")
        history.add(maker.trial(id=f"trial-{i}", started_unix_ns=i, device=device, baseline=i > 0))
    assert [entry.trial_id for entry in history.list()] == ["trial-2", "trial-1", "trial-0"]
    assert [entry.trial_id for entry in history.list(device="pi")] == ["trial-2", "trial-0"]
    assert [entry.trial_id for entry in history.list(1)] == ["trial-2"]
    assert history.list(device="none") == []
    assert len(history.list(target="generic-arm64")) == 3  # the candidates', not the device's own
    assert history.list(target="t") == []
    assert history.list()[-1].baseline == ""
    assert history.list()[0].baseline == "net-fp32"
    assert history.list()[0].baseline_target == "generic-arm64"


def test_an_unknown_trial_is_named(history, trial):
    history.add(trial)
    with pytest.raises(UnknownNameError, match="did you mean 'trial-1'"):
        history.trial("trail-1")


def test_it_is_kept_between_openings(path, trial, monkeypatch):
    with History.open(path) as history:
        history.add(trial)
    with History.open(str(path)) as history:
        assert history.trial(trial.id) == trial
    monkeypatch.setenv("SEATRIAL_HISTORY", str(path))
    with History.open() as history:
        assert history.trial(trial.id) == trial
    with History.open(f"sqlite:///{path}") as history:
        assert len(history.list()) == 1


def test_it_is_in_wal_mode(path):
    History.open(path).close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    raw.close()


def test_a_newer_schema_is_refused(history, place):
    _change(history, "UPDATE schema_version SET version = 99")
    with pytest.raises(UserError, match=r"schema 99.*upgrade"):
        History.open(place)


def test_what_is_not_a_history_is_refused_and_left_alone(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("hello" * 1000)
    with pytest.raises(UserError, match=str(text)):
        History.open(text)
    assert text.read_text() == "hello" * 1000
    other = tmp_path / "other.sqlite"
    raw = sqlite3.connect(other)
    raw.execute("CREATE TABLE theirs (x)")
    raw.close()
    with pytest.raises(UserError, match="not a Seatrial history"):
        History.open(other)
    with pytest.raises(UserError, match="folder"):
        History.open(tmp_path)


@pytest.mark.parametrize("place", ["nosuchdb://host/x", "://"])
def test_a_wrong_url_is_a_user_error(place):
    with pytest.raises(UserError):
        History.open(place)


def test_a_lock_that_is_not_released_is_said(path, trial):
    with History.open(path, busy_seconds=0.1) as history:
        raw = sqlite3.connect(path, isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(HarnessError, match="locked"):
            history.add(trial)
        assert history.list() == []  # readers do not wait
        raw.execute("ROLLBACK")
        raw.close()
        assert history.add(trial)


def test_writers_at_once_lose_nothing(place, trial):
    """Processes, which also race to make the tables; forked, since starting Python afresh takes most of the time."""
    context = multiprocessing.get_context("fork")
    together = context.Barrier(3)
    writers = [context.Process(target=_write, args=(place, trial, i * 4, together)) for i in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    with History.open(place) as history:
        assert {entry.trial_id for entry in history.list(100)} == {f"trial-{i}" for i in range(12)}
        assert history.trial("trial-7").runs == trial.runs


def _write(place, trial, first, together):
    together.wait(60)
    for i in range(first, first + 4):
        with History.open(place) as history:
            history.add(trial.model_copy(update={"id": f"trial-{i}"}))


def test_a_damaged_trial_is_named(history, trial):
    history.add(trial)
    _change(history, "UPDATE samples SET data = substr(data, 1, 9) WHERE run_index = 3")
    with pytest.raises(HarnessError, match=r"trial-1.*damaged"):
        history.trial(trial.id)


def test_the_default_place_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_path() == tmp_path / "seatrial" / "history.sqlite"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(default_path()) == "/home/someone/.local/share/seatrial/history.sqlite"


def test_labels_are_kept_and_found_by(history, maker):
    history.add(maker.trial(id="one", started_unix_ns=1), labels={"branch": "main", "commit": "abc"})
    history.add(maker.trial(id="two", started_unix_ns=2), labels={"branch": "feature/x"})
    assert history.labels("one") == {"branch": "main", "commit": "abc"}
    assert [entry.trial_id for entry in history.list(branch="main")] == ["one"]
    history.add(maker.trial(id="one", started_unix_ns=1), labels={"branch": "main", "release": "1.0"})
    assert history.labels("one") == {"branch": "main", "commit": "abc", "release": "1.0"}


def test_a_trial_is_found_by_the_beginning_of_its_id(history, maker):
    for name in ("abcd", "abce", "100%"):
        history.add(maker.trial(id=name))
    assert history.identifier("abcd") == "abcd"
    assert history.identifier("10") == "100%"
    with pytest.raises(UserError, match="more than one"):
        history.identifier("abc")
    for stranger in ("x", "%", "_"):
        with pytest.raises(UnknownNameError):
            history.identifier(stranger)


def test_the_figures_of_a_trial_are_points(history, maker):
    maker.solos(5)
    for i in range(3):
        maker.memory(50_000_000 + i)
    history.add(maker.trial(id="one", started_unix_ns=1), labels={"commit": "abc", "branch": "main"})
    trial = maker.trial(id="two", started_unix_ns=2)
    history.add(trial, judge(trial, Budgets.model_validate({"regression": None, "size": "1 MB"})))
    first, second = history.series("latency_p50")
    assert (first.trial_id, second.trial_id) == ("one", "two")
    assert first.low < first.value < first.high
    assert first.value == pytest.approx(10e6, rel=0.02)
    assert (first.unit, first.runs, first.commit, first.outcome) == ("ns", 5, "abc", None)
    assert second.outcome == "FAIL"
    assert history.series("peak_memory", branch="main")[0].value == pytest.approx(50e6, rel=0.01)
    assert history.series("latency_p50", device="other") == history.series("latency_p99") == []
    assert [point.trial_id for point in history.series("latency_p50", limit=1)] == ["two"]


def test_calibrations_are_trials_of_a_bundle_against_itself(history, maker):
    same = maker.trial().bundles["candidate"]
    aa = {"candidate": same, "baseline": same}
    history.add(maker.trial(id="plain", started_unix_ns=9))
    assert list(history.calibrations("lab-pi")) == []
    history.add(maker.trial(id="old", started_unix_ns=1, bundles=aa))
    history.add(maker.trial(id="new", started_unix_ns=2, bundles=aa))
    history.add(maker.trial(id="broken", started_unix_ns=3, bundles=aa, status="timeout"))
    assert [trial.id for trial in history.calibrations("lab-pi")] == ["new", "old"]
    assert [trial.id for trial in history.calibrations("lab-pi", "net-int8", "generic-arm64", 1)] == ["new"]
    assert list(history.calibrations("lab-pi", "other")) == list(history.calibrations("phone")) == []


def test_what_the_latest_gate_of_a_bundle_said(history, maker):
    def gated(name, when, size, device="lab-pi", stamp=""):
        info = DeviceInfo(name=device, target="t", transport="ssh", stamp=stamp)
        trial = maker.trial(id=name, started_unix_ns=when, device=info)
        history.add(trial, judge(trial, Budgets.model_validate({"size": size, "regression": None})))

    digest = maker.trial().bundles["candidate"].digest
    assert history.outcome_of(digest, "lab-pi") is None
    gated("good", 1, "1 GB")
    gated("bad", 2, "1 MB")
    gated("elsewhere", 3, "1 GB", device="phone")
    gated("emulated", 4, "1 GB", stamp="QEMU")
    history.add(maker.trial(id="unjudged", started_unix_ns=5))
    assert history.outcome_of(digest, "lab-pi") == ("FAIL", "bad")
    assert history.outcome_of("0" * 64, "lab-pi") is None


def test_the_verdict_on_a_bundle_is_the_worst_of_its_devices(history, maker):
    bad, good = maker.solos(2).duets(8, 0.2).trial(id="1"), TrialMaker().solos(2).duets(8).trial(id="2")
    digest = good.bundles["candidate"].digest
    assert history.verdict_of(digest) is None
    for number, trial in enumerate((bad, good)):
        trial = trial.model_copy(update={"started_unix_ns": number})
        history.add(trial, judge(trial, Budgets()))
    assert history.verdict_of(digest).trial_id == "2"  # the latest on this device
    stamped = good.device.model_copy(update={"name": "emulated", "stamp": "QEMU"})
    other = bad.model_copy(update={"id": "3", "device": stamped})
    history.add(other, judge(other, Budgets()))
    assert history.verdict_of(digest).outcome is Outcome.PASS
    other = bad.model_copy(update={"id": "4", "device": bad.device.model_copy(update={"name": "another"})})
    history.add(other, judge(other, Budgets()))
    assert history.verdict_of(digest).trial_id == "4"


def test_a_nul_in_a_name_is_no_obstacle(history, maker):
    """PostgreSQL's text can't hold one; the document does."""
    device = DeviceInfo(name="p\0i", target="t", transport="ssh")
    maker.solos(2, invalid="be\0ll")
    trial = maker.solos(2).trial(device=device)
    history.add(trial)
    assert history.trial(trial.id) == trial
    assert history.list()[0].device == "p\N{REPLACEMENT CHARACTER}i"


def _change(history, statement):
    with history._engine.begin() as connection:
        connection.execute(text(statement))
