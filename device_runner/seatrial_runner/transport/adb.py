"""A device behind adb, through the `adb` program: its server then shares the device with the user's other tools.

The exit code of `adb` is not to be trusted (version 29 exits with 0 when adbd dies), the end marker is. A file is
sent by `adb push`, several times faster than through a shell but without progress on the way; what is left of a push
that was cut short goes through the shell's input. Either way it is hashed and renamed by the same script as over SSH.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from seatrial_targets.errors import (
    AuthenticationError,
    DeadlineError,
    DeviceError,
    HarnessError,
    LinkLostError,
    UnreachableError,
)

from ..deadline import Deadline
from . import pipes, shell
from .base import Progress
from .remote import ShellTransport, Upload
from .shell import MarkedStream, last_words

if TYPE_CHECKING:
    from seatrial_targets.inventory import Device

_CONNECT_S = 30.0
_ROOT = "/data/local/tmp/seatrial"
_PORT = 5555

_ADVICE = {
    "unauthorized": "unlock its screen and accept this computer's key there ('Allow USB debugging?'); if nothing "
    "shows, revoke the USB debugging authorizations in its developer options and plug it in again",
    "authorizing": "it is still negotiating; wait a moment and try again",
    "offline": "plug it in again, or over the network: adb disconnect {serial} && adb connect {serial}",
    "no permissions": "this user may not open the USB device; it needs a udev rule: "
    "apt install android-sdk-platform-tools-common",
    "bootloader": "it is in the bootloader: fastboot reboot",
    "recovery": "it is in recovery: adb -s {serial} reboot",
    "sideload": "it is in sideload: adb -s {serial} reboot",
}


class AdbTransport(ShellTransport):
    """One `adb shell` per program; nothing stays open between them."""

    def __init__(self, name: str, adb: str, serial: str) -> None:
        super().__init__(name)
        self._adb, self._serial = adb, serial

    @classmethod
    def from_device(cls, device: Device) -> Self:
        """Find the device by its serial, its address (`adb connect`), or because it is the only one; make its root."""
        deadline = Deadline.after(_CONNECT_S)
        adb = find_adb()
        serial = serial_of(device)
        if serial and device.address:
            _connect(adb, serial, device.name, deadline)
        serial = _ready(adb, serial, device.name, deadline)
        if "shell_v2" not in _adb([adb, "-s", serial, "features"], deadline):
            raise DeviceError(f"{device.name}: its adbd is too old for binary output; Android 7 or later is needed")
        self = cls(device.name, adb, serial)
        self._prepare_root(device.root or _ROOT, deadline)
        return self

    def _exchange(
        self,
        command: str,
        feed: Iterator[bytes],
        streams: tuple[MarkedStream, MarkedStream],
        deadline: Deadline,
        *,
        hold: bool,
    ) -> str:
        argv = [self._adb, "-s", self._serial, "shell", "-T", command]
        words = pipes.exchange(argv, feed, streams, deadline, hold=hold, doing=f"a program on {self.name}")
        state = _states(self._adb, deadline).get(self._serial, "gone") if streams[1].code is None else "device"
        return words if state == "device" else f"{words}; adb now calls the device '{state}'"

    def _push(
        self, source: Path, remote: str, digest: str, mode: str, deadline: Deadline, progress: Progress | None
    ) -> int:
        # `adb push` takes no lock on the device, as our script does. Its server is this machine's, and so is this lock.
        with _alone(f"{self._serial} {remote}", deadline):
            return super()._push(source, remote, digest, mode, deadline, progress)

    def _store(self, upload: Upload, names: tuple[str, str, str, str], deadline: Deadline) -> tuple[int, bytes]:
        if upload.offset or not upload.total:
            return super()._store(upload, names, deadline)
        part = names[0]
        said = _adb([self._adb, "-s", self._serial, "push", str(upload.source), part], deadline).encode()
        if b"No space left" in said:
            self._script('rm -f "$1"', part, deadline=deadline)
            return shell.WRITE_FAILED, said
        if b"1 file pushed" not in said:
            state = _states(self._adb, deadline).get(self._serial, "gone")
            if state != "device":
                raise LinkLostError(
                    f"push of {upload.source.name} to {self.name}: adb now calls the device '{state}'; "
                    f"check it, then try again to resume"
                )
            return shell.NOT_RENAMED, said
        upload.skip_to_end()
        return super()._store(upload, names, deadline)

    def close(self) -> None:
        """Nothing to release: adb's server keeps the connection, for everybody."""


@contextmanager
def _alone(what: str, deadline: Deadline) -> Iterator[None]:
    """Hold a lock of this machine's user on ``what``. Raises DeadlineError when others hold it for too long."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seatrial" / "adb"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / hashlib.sha256(what.encode()).hexdigest()[:32]).open("w") as file:
        while not _locked(file):
            deadline.check(f"waiting for another push to {what}")
            time.sleep(0.05)
        yield


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def serial_of(device: Device) -> str | None:
    """Return what adb calls the device: `address:port` on the network, else its serial, if its row has one."""
    return f"{device.address}:{device.port or _PORT}" if device.address else device.serial


def find_adb() -> str:
    """Return the path of adb, from PATH or the Android SDK. Raises HarnessError."""
    folders = [os.environ[name] for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT") if os.environ.get(name)]
    places = [os.environ.get("PATH", os.defpath), *(os.path.join(folder, "platform-tools") for folder in folders)]
    found = shutil.which("adb", path=os.pathsep.join(places))
    if not found:
        raise HarnessError(
            "adb was not found on PATH or in ANDROID_HOME; install it: apt install adb, or Android's "
            "platform-tools (https://developer.android.com/tools/releases/platform-tools)"
        )
    return found


def _connect(adb: str, serial: str, name: str, deadline: Deadline) -> None:
    """Connect to a device on the network. One that was left offline needs to be disconnected first."""
    state = _states(adb, deadline).get(serial)
    if state == "device":
        return
    if state is not None:
        _adb([adb, "disconnect", serial], deadline)
    said = _adb([adb, "connect", serial], deadline)
    if "connected to" not in said:  # adb 29 says that it failed, and exits with 0
        if serial in _states(adb, deadline):
            return  # it is there, but unauthorized or offline: explained later
        raise UnreachableError(
            f"{name}: {last_words(said.encode())}; is it on this network, with 'adb tcpip {_PORT}' or wireless "
            f"debugging switched on?"
        )


def _ready(adb: str, serial: str | None, name: str, deadline: Deadline) -> str:
    """Return the serial of the device that is meant, once it is in state `device`; else say what to do."""
    states = _states(adb, deadline)
    if serial is None:
        if not states:
            raise UnreachableError(
                f"{name}: adb sees no device; plug one in and switch on 'USB debugging' in its developer options"
            )
        if len(states) > 1:
            raise UnreachableError(
                f"{name}: adb sees more than one device; add 'serial:' with one of {', '.join(sorted(states))}"
            )
        serial = next(iter(states))
    if serial not in states:
        seen = f"it sees {', '.join(sorted(states))}" if states else "it sees none at all"
        raise UnreachableError(f"{name}: adb sees no device {serial}; {seen}; check the cable and 'adb devices'")
    state = states[serial]
    if state != "device":
        advice = _ADVICE.get(state, "see 'adb devices -l'").format(serial=serial)
        kind = AuthenticationError if state == "unauthorized" else UnreachableError
        raise kind(f"{name}: adb calls {serial} '{state}': {advice}")
    return serial


def _states(adb: str, deadline: Deadline) -> dict[str, str]:
    """Return what `adb devices` lists: serial to state."""
    lines = _adb([adb, "devices"], deadline).splitlines()
    pairs = (line.split("\t", 1) for line in lines if "\t" in line)
    return {serial: state.split(" (")[0].split(";")[0].strip() for serial, state in pairs}


def _adb(argv: list[str], deadline: Deadline) -> str:
    """Return what an adb command printed on both streams; its exit code says little."""
    try:
        done = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=deadline.check("adb"), check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DeadlineError(
            f"{' '.join(argv)}: no answer within {error.timeout:.0f} s; try: adb kill-server"
        ) from error
    except OSError as error:
        raise HarnessError(f"{argv[0]} can't be started: {error.strerror or error}") from error
    return (done.stdout + done.stderr).decode("utf-8", "replace")
