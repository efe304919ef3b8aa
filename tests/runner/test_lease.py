import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seatrial_runner import lease as leases
from seatrial_runner.transport import open_transport
from seatrial_runner.transport.base import Completed, Transport
from seatrial_targets.errors import LeaseHeldError
from seatrial_targets.inventory import Device


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(name="bench-1", target="x86-64-cpu-fp32", transport="local", root=str(tmp_path / "a root"))


@pytest.fixture
def transport(device: Device):
    with open_transport(device) as transport:
        yield transport


def test_a_second_runner_is_told_who_holds_it(transport: Transport):
    leases.take(transport)
    with pytest.raises(LeaseHeldError, match=r"bench-1: .*@.* \(process \d+\) is measuring on it.*ends in (60|59) s"):
        leases.take(transport)


def test_given_back_it_can_be_taken(transport: Transport):
    leases.give_back(transport, leases.take(transport))
    assert not (Path(transport.root) / "lease").exists()
    leases.take(transport)


def test_an_expired_lease_can_be_taken(transport: Transport):
    leases.take(transport, seconds=-1)
    leases.take(transport)


def test_one_does_not_give_back_anothers_lease(transport: Transport):
    old = leases.take(transport, seconds=-1)
    new = leases.take(transport)
    leases.give_back(transport, old)
    assert (Path(transport.root) / "lease").read_text().startswith(new.token)


@pytest.mark.parametrize("junk", ["", "\n", "x y z\n", "abc 99999999999999999999999999 me\n", "\x00\x1b[31m"])
def test_a_mangled_lease_file_does_not_lock_the_device_out(transport: Transport, junk: str):
    (Path(transport.root) / "lease").write_text(junk)
    lease = leases.take(transport)
    assert (Path(transport.root) / "lease").read_text().startswith(lease.token)


def test_of_many_at_once_one_wins(device: Device):
    def attempt(_: int) -> bool:
        with open_transport(device) as transport:
            try:
                leases.take(transport)
            except LeaseHeldError:
                return False
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(16))) == 1


def take_in_another_process(device: Device, then: str) -> None:
    code = (
        "import sys, os, signal; from seatrial_targets.inventory import Device;"
        "from seatrial_runner.transport import open_transport; from seatrial_runner import lease;"
        "t = open_transport(Device(name='d', target='x86-64-cpu-fp32', transport='local', root=sys.argv[1]));"
        f"lease.take(t); {then}"
    )
    subprocess.run([sys.executable, "-c", code, str(device.root)], check=False)


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), signal.SIGKILL)", "pass"])
def test_the_lease_of_a_process_that_ended_is_taken_over(device: Device, transport: Transport, end: str):
    take_in_another_process(device, end)
    assert (Path(transport.root) / "lease").exists()
    leases.take(transport)


def test_the_lease_of_another_machine_is_never_taken_over(device: Device, transport: Transport):
    take_in_another_process(device, "pass")
    path = Path(transport.root) / "lease"
    token, expiry, identity, rest = path.read_text().split(" ", 3)
    path.write_text(f"{token} {expiry} {'0' * 36}{identity[36:]} {rest}")
    with pytest.raises(LeaseHeldError):
        leases.take(transport)


def test_a_lease_that_could_not_be_given_back_can_be_taken_again(transport: Transport):
    leases.abandon(leases.take(transport))
    leases.take(transport)


def test_an_expiry_far_ahead_is_of_a_clock_that_was_set_back(transport: Transport):
    path = Path(transport.root) / "lease"
    path.write_text(f"feedbeef {int(time.time()) + 10 * 365 * 86_400} - somebody@else\n")
    assert leases.held_by(transport) == ("", 0)
    leases.take(transport)
    path.write_text(f"feedbeef {int(time.time()) + 1000} - somebody@else\n")
    with pytest.raises(LeaseHeldError, match="somebody@else"):
        leases.take(transport)


def test_the_wall_clock_neither_frees_a_lease_nor_makes_it_last(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A `date` of our own on PATH jumps by ten days, back and forth."""
    date = tmp_path / "bin/date"
    date.parent.mkdir()
    date.write_text('#!/bin/sh\necho "$(cat "${0%/*}/now")"\n')
    date.chmod(0o755)
    monkeypatch.setenv("PATH", f"{date.parent}:{os.environ['PATH']}")
    with open_transport(device) as transport:
        for wall in (2_000_000_000, 1_900_000_000, 2_100_000_000):
            (date.parent / "now").write_text(f"{wall}\n")
            lease = leases.take(transport, seconds=100)
            for jump in (-864_000, 864_000, 50):
                (date.parent / "now").write_text(f"{wall + jump}\n")
                assert 90 < leases.held_by(transport)[1] <= 100
            leases.give_back(transport, lease)


def test_a_lease_from_before_a_restart_is_void(transport: Transport):
    leases.take(transport)
    path = Path(transport.root) / "lease"
    token, expiry, rest = path.read_text().split(" ", 2)
    assert expiry.endswith(f"@{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}")
    path.write_text(f"{token} {expiry.partition('@')[0]}@{'0' * 36} {'x' + rest}")
    assert leases.held_by(transport) == ("", 0)
    leases.take(transport)


def test_a_device_without_proc_keeps_leases_by_its_wall_clock(transport: Transport, monkeypatch: pytest.MonkeyPatch):
    for name in ("TAKE", "LOOK", "GIVE_BACK"):
        monkeypatch.setattr(leases, name, getattr(leases, name).replace("/proc/", "/no/proc/"))
    leases.take(transport)
    assert "@" not in (Path(transport.root) / "lease").read_text().split(" ")[1]
    with pytest.raises(LeaseHeldError):
        leases.take(transport)


def test_ctrl_c_while_it_is_granted_gives_it_back(transport: Transport, monkeypatch: pytest.MonkeyPatch):
    real = transport.run

    def granted_then_stopped(*arguments, **named):
        monkeypatch.undo()
        real(*arguments, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(transport, "run", granted_then_stopped)
    with pytest.raises(KeyboardInterrupt):
        leases.take(transport)
    assert list(Path(transport.root).iterdir()) == []


def test_a_renewed_lease_lasts_longer(transport: Transport):
    lease = leases.take(transport)
    leases.renew(transport, lease, 1000)
    assert leases.held_by(transport)[1] > 900


def test_words_that_are_no_number_are_nobody(transport: Transport, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(transport, "run", lambda *_, **__: Completed(0, "token ² - me".encode(), b""))
    assert leases.held_by(transport) == ("", 0)
