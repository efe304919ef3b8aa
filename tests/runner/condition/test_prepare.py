"""What is changed on a device is written down there first, and taken back: at the end, or at the next contact."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from peers.lab import LabDevice
from seatrial_runner.condition.clocks import Boost, Frequency, Governor
from seatrial_runner.condition.memory import Swap
from seatrial_runner.condition.prepare import prepare, prepare_units
from seatrial_runner.condition.state import read_state
from seatrial_runner.condition.undo import make
from seatrial_runner.condition.units import TABLE, Change, Unit, get_unit
from seatrial_runner.deadline import Deadline
from seatrial_runner.run import sweep
from seatrial_runner.session import open_session
from seatrial_runner.transport import Transport, open_transport
from seatrial_targets.errors import DeviceError
from seatrial_targets.inventory import Device


class Knob(Unit):
    """A file that stands in for a setting of the kernel's."""

    name = "knob"

    def __init__(self, path: Path, wanted: str = "fast") -> None:
        self.path, self.wanted = path, wanted
        self.READ = f"[ -e {shlex.quote(str(path))} ] && printf 'value\\t%s\\n' \"$(cat {shlex.quote(str(path))})\""

    def changes(self, found: Mapping[str, str]) -> Sequence[Change]:
        value = found.get("value", self.wanted)
        return [Change.of_file(str(self.path), value, self.wanted)] if value != self.wanted else []


@pytest.fixture
def knob(tmp_path: Path) -> Knob:
    path = tmp_path / "a knob's file"
    path.write_text("slow\n")
    return Knob(path)


@pytest.fixture
def transport(here: Device):
    with open_transport(here) as opened:
        yield opened


def journal(transport: Transport) -> list[str]:
    folder = Path(transport.root, "undo")
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_without_leave_nothing_is_changed_and_it_says_so(transport: Transport, knob: Knob):
    (prepared,) = prepare_units(transport, [knob], None)
    assert (prepared.outcome, prepared.found) == ("not set", {"value": "slow"})
    assert "no leave" in prepared.reason
    assert knob.path.read_text() == "slow\n"
    assert journal(transport) == []


def test_with_leave_it_is_set_and_taken_back(transport: Transport, knob: Knob):
    (prepared,) = prepare_units(transport, [knob], "login")
    assert (prepared.outcome, prepared.found, prepared.now) == ("set", {"value": "slow"}, {"value": "fast"})
    assert knob.path.read_text() == "fast\n"
    assert journal(transport) == ["0001.login"]
    assert sweep(transport) == ()
    assert knob.path.read_text() == "slow\n"
    assert journal(transport) == []


def test_what_is_as_wanted_already_is_left_alone(transport: Transport, knob: Knob):
    knob.path.write_text("fast\n")
    (prepared,) = prepare_units(transport, [knob], "login")
    assert (prepared.outcome, journal(transport)) == ("as wanted", [])


def test_what_the_device_lacks_is_absent(transport: Transport, tmp_path: Path):
    (prepared,) = prepare_units(transport, [Knob(tmp_path / "nothing")], "login")
    assert prepared.outcome == "absent"


def test_what_can_not_be_set_is_told_with_the_reason(transport: Transport, tmp_path: Path):
    (tmp_path / "folder").mkdir()
    unit = Knob(tmp_path / "folder")
    unit.READ = "printf 'value\\tslow\\n'"
    (prepared,) = prepare_units(transport, [unit], "login")
    assert prepared.outcome == "not set"
    assert "directory" in prepared.reason.lower()
    assert "allow_changes: sudo" in prepared.reason
    assert (journal(transport), sweep(transport)) == ([], ())  # nothing was changed, so that there is nothing to undo


def test_a_change_that_failed_half_way_stays_in_the_journal(transport: Transport, knob: Knob):
    """It says that it failed, and the device tells another value than before."""
    half = Change(
        "half", f"echo half > {shlex.quote(str(knob.path))}; false", f"echo slow > {shlex.quote(str(knob.path))}"
    )
    knob.changes = lambda found: [half] if found["value"] == "slow" else []
    prepare_units(transport, [knob], "login")
    assert journal(transport) == ["0001.login"]
    assert sweep(transport) == ()
    assert knob.path.read_text() == "slow\n"


def test_what_did_not_take_effect_is_not_called_set(transport: Transport, knob: Knob):
    knob.READ = "printf 'value\\tslow\\n'"
    (prepared,) = prepare_units(transport, [knob], "login")
    assert prepared.outcome == "not set"
    assert "took no effect" in prepared.reason


def test_the_last_change_is_taken_back_first(transport: Transport, tmp_path: Path):
    path = tmp_path / "x"
    path.write_text("0\n")
    make(transport, [Change.of_file(str(path), str(i), str(i + 1)) for i in range(12)], "login")
    assert path.read_text() == "12\n"
    make(transport, [Change.of_file(str(path), "12", "13")], "login")
    assert journal(transport)[-1] == "0013.login"
    sweep(transport)
    assert path.read_text() == "0\n"


def test_what_can_not_be_taken_back_is_said_each_time(transport: Transport):
    make(transport, [Change("a to b", "true", "echo no such thing >&2; false"), Change("c", "true", "true")], "login")
    assert sweep(transport) == sweep(transport) == ("a to b: no such thing",)
    assert journal(transport) == ["0001.login"]


def test_nothing_is_changed_that_could_not_be_written_down(transport: Transport, knob: Knob):
    Path(transport.root, "undo").write_text("in the way")
    with pytest.raises(DeviceError, match="can't be written down"):
        prepare_units(transport, [knob], "login")
    assert knob.path.read_text() == "slow\n"


def test_the_journal_is_on_the_device_before_the_change(transport: Transport, tmp_path: Path):
    (made,) = make(transport, [Change("x", f"ls {shlex.quote(transport.root)}/undo", "true")], "login")
    assert (made.code, made.said) == (0, "0001.login")


CRASH = """
import sys
from seatrial_runner.condition.undo import make
from seatrial_runner.condition.units import Change
from seatrial_runner.transport import open_transport
from seatrial_targets.inventory import Device
root, knob, started = sys.argv[1:]
with open_transport(Device(name="here", target="x86-64-cpu-fp32", transport="local", root=root)) as transport:
    changes = [Change.of_file(knob, "slow", "fast"), Change("x", f"touch '{started}'; sleep 600", "true")]
    make(transport, changes, "login")
"""


def test_after_a_crash_the_next_session_takes_back_what_was_changed(
    here: Device, make_bundle, knob: Knob, tmp_path: Path
):
    """The host is killed hard while the device makes the second of two changes."""
    started = tmp_path / "started"
    words = [sys.executable, "-c", CRASH, str(here.root), str(knob.path), str(started)]
    killed = subprocess.Popen(words)
    while not started.exists():
        assert killed.poll() is None
        time.sleep(0.01)
    killed.kill()
    killed.wait()
    assert knob.path.read_text() == "fast\n"
    with open_session(here, {"candidate": make_bundle()}):
        assert knob.path.read_text() == "slow\n"
    assert not Path(str(here.root), "undo").exists()


def test_a_unit_of_another_version_is_no_error(transport: Transport):
    (prepared,) = prepare(transport, ["flux-capacitor"], "login")
    assert prepared.outcome == "not set"
    assert "no such unit" in prepared.reason


def test_no_units_cost_nothing(transport: Transport, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transport, "run", None)
    assert prepare(transport, [], "login") == ()


def test_root_through_sudo(transport: Transport, knob: Knob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A `sudo` of our own notes what it is asked for: it must never be one that asks back."""
    sudo = tmp_path / "bin/sudo"
    sudo.parent.mkdir()
    sudo.write_text('#!/bin/sh\nprintf "%s\\n" "$1" >> "${0%/*}/asked"; shift; exec "$@"\n')
    sudo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{sudo.parent}:{os.environ['PATH']}")
    prepare_units(transport, [knob], "sudo")
    assert journal(transport) == ["0001.sudo"]
    sweep(transport)
    assert knob.path.read_text() == "slow\n"
    assert (sudo.parent / "asked").read_text() == "-n\n-n\n"


CAN = {f"policy{n} scaling_available_governors": "performance powersave schedutil" for n in (0, 4)}
FOLDER = "/sys/devices/system/cpu/cpufreq/policy0"


def test_each_cluster_gets_its_governor_by_itself():
    found = {"policy0 scaling_governor": "schedutil", "policy4 scaling_governor": "performance", **CAN}
    (change,) = Governor().changes(found)
    assert change.make == f"printf '%s\\n' performance > {FOLDER}/scaling_governor"
    assert change.undo == f"printf '%s\\n' schedutil > {FOLDER}/scaling_governor"
    assert Governor().told(found) == "governor schedutil, performance"


def test_a_cluster_without_that_governor_can_not_be_set():
    found = {"policy0 scaling_governor": "userspace", "policy0 scaling_available_governors": "userspace"}
    assert Governor().changes(found) == []
    assert Governor().cannot(found) == "policy0 has no governor performance"


def test_hostile_names_are_no_paths():
    assert Governor().changes({"policy0/../../../x scaling_governor": "a"}) == []


def test_a_frequency_is_held_by_raising_its_least():
    found = {"policy0 scaling_min_freq": "600000", "policy0 scaling_max_freq": "2400000"}
    (change,) = Frequency().changes(found)
    assert change.make == f"printf '%s\\n' 2400000 > {FOLDER}/scaling_min_freq"
    assert change.undo == f"printf '%s\\n' 600000 > {FOLDER}/scaling_min_freq"
    assert Frequency().told(found) == "frequency 0.60 to 2.40 GHz"
    assert Frequency().changes({**found, "policy0 scaling_min_freq": "2400000"}) == []


@pytest.mark.parametrize(
    ("file", "on", "off"),
    [("/sys/devices/system/cpu/intel_pstate/no_turbo", "0", "1"), ("/sys/devices/system/cpu/cpufreq/boost", "1", "0")],
)
def test_boost_is_switched_off_under_either_name(file: str, on: str, off: str):
    (change,) = Boost().changes({file: on})
    assert (change.make, change.undo) == (f"printf '%s\\n' {off} > {file}", f"printf '%s\\n' {on} > {file}")
    assert Boost().changes({file: off}) == Boost().changes({}) == []


def test_swappiness_is_lowered_where_there_is_swap():
    assert [c.make for c in Swap().changes({"swappiness": "60"})] == ["printf '%s\\n' 0 > /proc/sys/vm/swappiness"]
    assert Swap().changes({"swappiness": "0"}) == Swap().changes({}) == []


def test_every_unit_reads_in_a_posix_shell(transport: Transport):
    """Whatever this machine has of it: reading changes nothing, and does not fail."""
    for prepared in prepare(transport, list(TABLE), None):
        assert prepared.outcome in ("absent", "as wanted", "not set"), prepared
    for name in TABLE:
        unit = get_unit(name)
        assert unit is not None
        assert unit.name == name
        subprocess.run(["dash", "-n", "-c", unit.READ], check=True)


# A double of cpufreq at the real path, in the device's own tree: for the way of the settings, not their effect.
CPUFREQ = """
set -e; d=/sys/devices/system/cpu/cpufreq/policy0; mkdir -p $d; cd $d
echo ondemand > scaling_governor; echo 'ondemand performance' > scaling_available_governors; chown pi scaling_governor
"""


@pytest.mark.lab
def test_on_the_emulated_board_a_governor_is_set_for_a_session(pi: Device, pi_board: LabDevice):
    read = f"cat {FOLDER}/scaling_governor"
    pi_board.shell(CPUFREQ)
    try:
        with open_transport(pi) as transport:
            (prepared,) = prepare(transport, ["governor"], pi.allow_changes)
            assert "no leave" in prepared.reason
            (prepared,) = prepare(transport, ["governor"], "login")
            assert prepared.outcome == "set"
            assert pi_board.shell(read) == "performance\n"
            assert read_state(transport).governors == {"policy0": "performance"}
            assert sweep(transport) == ()
            assert pi_board.shell(read) == "ondemand\n"
            transport.run(["rm", "-rf", transport.root], deadline=Deadline.after(60))
    finally:
        pi_board.shell("rm -r /sys/devices")
