"""Faults that only a device of its own can have: a pulled cable, a full disk, a dead adbd. Needs the arm64 lab."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from peers.adb_stub import AdbStub
from peers.lab import LabDevice
from seatrial_runner import lease as leases
from seatrial_runner.condition.clean import clean
from seatrial_runner.deadline import Deadline
from seatrial_runner.transport import Transport, open_transport, shell
from seatrial_runner.transport.base import Completed
from seatrial_targets.errors import (
    AuthenticationError,
    DeadlineError,
    DeviceError,
    DiskFullError,
    HarnessError,
    LinkLostError,
    UnreachableError,
)
from seatrial_targets.inventory import Device

pytestmark = pytest.mark.lab
Running = Callable[[list[str]], bool]
Until = Callable[[Callable[[], bool]], None]


def soon() -> Deadline:
    return Deadline.after(120)


@pytest.fixture
def cable(pi_board: LabDevice) -> Iterator[Callable[[], None]]:
    """Pulls the board's network cable; it is plugged in again after the test."""
    yield lambda: pi_board.link(up=False)
    pi_board.link(up=True)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(20_000_000))
    return path


@pytest.fixture(params=["pi", "droid"])
def device(request: pytest.FixtureRequest) -> Device:
    found: Device = request.getfixturevalue(request.param)
    return found


def test_cable_pulled_while_a_program_is_silent(
    pi: Device, cable: Callable[[], None], nap: list[str], running: Running, until: Until
) -> None:
    def pull_when_it_runs() -> None:
        until(lambda: running(nap))
        cable()

    with open_transport(pi) as transport:
        thread = threading.Thread(target=pull_when_it_runs)
        thread.start()
        with pytest.raises(LinkLostError):
            transport.run(nap, deadline=Deadline.after(30))
        thread.join()
    until(lambda: not running(nap))  # by the deadline on the device: nobody told it that the cable is out


def test_cable_pulled_mid_push(pi: Device, cable: Callable[[], None], big: Path) -> None:
    def pull_half_way(done: int, total: int) -> None:
        if done > total / 2:
            cable()

    with open_transport(pi) as transport, pytest.raises(LinkLostError):
        transport.push(big, f"{transport.root}/big", deadline=Deadline.after(60), progress=pull_half_way)


def test_cable_pulled_from_an_adb_device(
    droid: Device, droid_board: LabDevice, nap: list[str], running: Running, until: Until
) -> None:
    def pull_when_it_runs() -> None:
        until(lambda: running(nap))
        droid_board.link(up=False)

    try:
        with open_transport(droid) as transport:
            thread = threading.Thread(target=pull_when_it_runs)
            thread.start()
            with pytest.raises((LinkLostError, DeadlineError)):  # over the network only adb's own keepalive sees it
                transport.run(nap, deadline=Deadline.after(40))
            thread.join()
        until(lambda: not running(nap))
    finally:
        droid_board.link(up=True)
    assert _hello_again(droid, until) == b"hello\n"


def test_adbd_killed_mid_push(droid: Device, droid_board: LabDevice, big: Path, until: Until) -> None:
    remote = "/data/local/tmp/seatrial/big"
    done = threading.Event()

    def kill() -> None:
        while not done.is_set():
            if droid_board.shell("cat /data/local/tmp/seatrial/*.part 2>/dev/null | wc -c").strip() != "0":
                droid_board.kill("platform-tools/adbd")
                return

    with open_transport(droid) as transport:
        big.write_bytes(os.urandom(1000) * 300_000)  # long enough to be met half-way
        thread = threading.Thread(target=kill)
        thread.start()
        with pytest.raises(DeviceError):
            transport.push(big, remote, deadline=soon())
        done.set()
        thread.join()
    until(lambda: bool(droid_board.running("platform-tools/adbd")))
    assert _hello_again(droid, until) == b"hello\n"
    assert droid_board.shell(f"ls {remote} 2>&1 || true").endswith("No such file or directory\n")
    with open_transport(droid) as transport:
        assert transport.push(big, remote, deadline=soon()) > 0
        transport.run(["rm", "-rf", transport.root], deadline=soon())


def test_cable_out_before(pi: Device, cable: Callable[[], None]) -> None:
    cable()
    with pytest.raises(UnreachableError, match="no SSH connection"):
        open_transport(pi)


def test_disk_full(device: Device, pi_board: LabDevice, droid_board: LabDevice, big: Path) -> None:
    board = {"pi": pi_board, "droid": droid_board}[device.name]
    full = device.model_copy(update={"root": "/small/seatrial"})  # 4 MB
    with open_transport(full) as transport:
        with pytest.raises(DiskFullError, match="no space left for the 20000000 bytes"):
            transport.push(big, "/small/seatrial/big", deadline=soon())
        assert board.shell("ls -A /small/seatrial") == ""
        transport.run(["rm", "-r", "/small/seatrial"], deadline=soon())


def test_disk_full_before_anything(pi: Device, pi_board: LabDevice, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("a few bytes")
    with open_transport(pi.model_copy(update={"root": "/small/seatrial"})) as transport:
        pi_board.shell("head -c 8000000 /dev/zero > /small/fill || true")
        try:
            with pytest.raises(DiskFullError):
                transport.push(tmp_path / "note", "/small/seatrial/note", deadline=soon())
        finally:
            pi_board.shell("rm -rf /small/fill /small/seatrial")


@pytest.mark.parametrize(
    ("root", "says"), [("/proc/seatrial", "set another 'root'"), ("/usr/share", "belongs to another user")]
)
def test_a_root_that_can_not_be_ours(device: Device, root: str, says: str) -> None:
    with pytest.raises(DeviceError, match=says):
        open_transport(device.model_copy(update={"root": root}))


def test_root_made_read_only_later(device: Device, pi_board: LabDevice, droid_board: LabDevice, big: Path) -> None:
    board = {"pi": pi_board, "droid": droid_board}[device.name]
    with open_transport(device) as transport:
        board.shell(f"mkdir {transport.root}/fixed; chmod 555 {transport.root}/fixed")
        with pytest.raises(DeviceError, match="could not be written"):
            transport.push(big, f"{transport.root}/fixed/big", deadline=soon())
        board.shell(f"rm -r {transport.root}/fixed")


def test_adbd_killed_mid_run(
    droid: Device, droid_board: LabDevice, nap: list[str], running: Running, until: Until
) -> None:
    def kill() -> None:
        until(lambda: running(nap))
        droid_board.kill("platform-tools/adbd")

    with open_transport(droid) as transport:
        thread = threading.Thread(target=kill)
        thread.start()
        with pytest.raises(LinkLostError):  # adb 29 exits with 0 here
            transport.run(nap, deadline=soon())
        thread.join()
    until(lambda: not running(nap))
    until(lambda: bool(droid_board.running("platform-tools/adbd")))
    assert _hello_again(droid, until) == b"hello\n"  # also when adb still calls it offline


def _hello_again(device: Device, until: Until) -> bytes:
    said: list[bytes] = []

    def hello() -> bool:
        try:
            with open_transport(device) as transport:
                said.append(transport.run(["echo", "hello"], deadline=soon()).stdout)
        except UnreachableError:
            return False
        return True

    until(hello)
    return said[-1]


def test_hostile_words_of_a_device_are_made_harmless(device: Device, tmp_path: Path) -> None:
    with open_transport(device) as transport, pytest.raises(DeviceError) as error:
        transport.pull("\x1b]0;owned\x07\x1b[2J", tmp_path / "back", deadline=soon())
    assert "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    ("state", "kind", "says"),
    [
        ("unauthorized", AuthenticationError, "Allow USB debugging"),
        ("offline", UnreachableError, "adb disconnect 127"),
    ],
)
def test_states_of_adb_in_words(own_adb: None, state: str, kind: type[Exception], says: str) -> None:
    stub = AdbStub(state)
    try:
        device = Device(name="phone", target="android-arm64-fp32", transport="adb", address="127.0.0.1", port=stub.port)
        with pytest.raises(kind, match=says):
            open_transport(device)
    finally:
        stub.close()


def test_no_such_serial(droid: Device) -> None:
    open_transport(droid).close()
    other = droid.model_copy(update={"address": None, "serial": "R58M123"})
    with pytest.raises(UnreachableError, match=r"adb sees no device R58M123; it sees .*10\.77"):
        open_transport(other)


def test_nobody_listens_for_adb(droid: Device) -> None:
    with pytest.raises(UnreachableError, match="adb tcpip"):
        open_transport(droid.model_copy(update={"address": "127.0.0.1", "port": 9}))


def test_adb_is_missing(droid: Device, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ANDROID_HOME", raising=False)
    monkeypatch.delenv("ANDROID_SDK_ROOT", raising=False)
    with pytest.raises(HarnessError, match="apt install adb"):
        open_transport(droid)


def test_lab_runs_arm64(device: Device) -> None:
    with open_transport(device) as transport:
        assert _machine(transport) == b"aarch64\n"
        library = "/opt/py/onnxruntime/capi/libonnxruntime.so.*"
        assert transport.run(["sh", "-c", f"ls {library}"], deadline=soon()).ok


def _machine(transport: Transport) -> bytes:
    return transport.run(["uname", "-m"], deadline=soon()).stdout


def test_a_full_disk_can_be_cleaned(device: Device, pi_board: LabDevice, droid_board: LabDevice) -> None:
    board = {"pi": pi_board, "droid": droid_board}[device.name]
    try:
        with open_transport(device.model_copy(update={"root": "/small/seatrial"})) as transport:
            fill = "mkdir blobs; head -c 8000000 /dev/zero > blobs/x; [ ! -e lease ]"
            assert transport.run(["sh", "-c", f'cd "$0"; {fill}', transport.root], deadline=soon()).ok
            with pytest.raises(DiskFullError, match="seatrial devices clean"):
                leases.take(transport)
            assert board.shell("ls -A /small/seatrial") == "blobs\n"
            assert clean(transport) > 3_000_000
            assert board.shell("ls -A /small/seatrial") == ""
    finally:
        board.shell("rm -rf /small/seatrial")


ANDROIDS_OWN = (
    'mkdir -p "$1/bin"; ln -sf "$(command -v toybox)" "$1/bin/flock"; PATH=$1/bin:$PATH; shift; exec mksh -c "$@"'
)


def test_scripts_with_locks_run_in_androids_shell_with_its_tools(pi: Device, tmp_path: Path) -> None:
    """Its mksh hands no descriptor above 2 to programs, its flock takes no time to wait."""
    (tmp_path / "file").write_bytes(b"content")

    with open_transport(pi) as transport:

        def mksh(script: str, *words: str, stdin: bytes = b"") -> Completed:
            argv = ["sh", "-c", ANDROIDS_OWN, "sh", transport.root, script, "seatrial", *words]
            return transport.run(argv, stdin=stdin, deadline=soon())

        folder = f"{transport.root}/one"
        assert mksh(leases.TAKE, folder, "0123456789abcdef", "60", "me", "").returncode == 0
        assert mksh(leases.TAKE, folder, "f" * 16, "60", "other", "").returncode == leases.HELD
        assert mksh("root=$1 mine=$2 seconds=$3\n" + leases.RENEW, folder, "0123456789abcdef", "60").returncode == 0
        assert mksh(leases.GIVE_BACK, folder, "0123456789abcdef").returncode == 0
        digest = hashlib.sha256(b"content").hexdigest()
        names = (f"{folder}/part", f"{folder}/file", "0", "7", digest, "600")
        stored = mksh(shell.STORE, "token", "60", *names, stdin=b"content")
        assert stored.stdout == b"token:0:"
        assert transport.run(["ls", "-A", folder], deadline=soon()).stdout == b"file\n"
        transport.run(["rm", "-rf", transport.root], deadline=soon())
