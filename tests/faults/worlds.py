"""Where faults happen: a device behind each kind of wire, with ways to break and to mend it from outside."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from peers.lab import NATIVE, LabDevice, library
from peers.sshd import Sshd
from seatrial_runner.agent import native_agent
from seatrial_runner.bundle import sha256_file
from seatrial_targets.inventory import Device

AGENT = native_agent(os.uname().machine)
# What an agent that was taken over may print. `$token` is the word by which its output is known for this run's.
HOSTILE = (
    "head -c 70000000 /dev/zero | tr '\\0' A",
    "head -c 100000 /dev/urandom; printf '\\nseatrial-end %s\\n' \"$token\"",
    'printf \'{"agent": "native", "agent_version": "../../../etc", "status": "ok"}\\nseatrial-end %s\\n\' "$token"',
    "printf '\\033]0;owned\\007\\033[2J{\\nseatrial-end %s\\n' \"$token\"; printf '\\033[31mred\\r\\n' >&2; exit 1",
    "printf '%s\\nseatrial-end %s\\n' \"$(head -c 9000 /dev/zero | tr '\\0' '[')\" \"$token\"",
    'printf \'{"agent": "native"}\\nseatrial-end 0123456789abcdef0123456789abcdef\\n\'',
    ": nothing at all",
)
SKEW = (
    '#!/bin/sh\nread -r skew < {skew} 2>/dev/null; now=$({date} +%s)\n[ "$1" = +%s ] && echo $((now + ${{skew:-0}}))\n'
)


class World(ABC):
    """One device. ``shell`` reaches it past everything that is tested."""

    device: Device
    root: str  # our folder there
    space: str  # the small file system that it lies on
    knob: str
    skew: str  # a file that holds by how many seconds its `date` is wrong

    @abstractmethod
    def shell(self, command: str) -> str:
        """Run a command on the device, as root where that exists."""

    @abstractmethod
    def close(self) -> None:
        """Take it away."""

    @property
    def environment(self) -> dict[str, str]:
        """What a host that measures here needs in its environment."""
        return {"SEATRIAL_TEST_KNOB": self.knob}

    def candidates(self) -> list[int]:
        """Return the processes of this machine among which the device's are."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*")]

    def agents(self) -> dict[int, str]:
        """Return the processes that are in a run's folder, and the name of that folder."""
        found = {}
        for pid in self.candidates():
            with contextlib.suppress(OSError):
                folder = os.readlink(f"/proc/{pid}/cwd").removesuffix(" (deleted)")
                if f"{self.root}/runs/" in folder:
                    found[pid] = folder.rpartition("/")[2]
        return found

    def runs(self) -> set[str]:
        """Return the runs that are under way."""
        return set(self.agents().values())

    def settle(self) -> None:
        """Bring it to where a schedule begins: healthy, empty, its knob where it belongs."""
        self.mend()
        self.shell(f"rm -rf {shlex.quote(self.root)}; printf 'slow\\n' > {self.knob}; chmod 666 {self.knob}")

    def breaks(self, kind: str, number: int) -> Callable[[], None]:
        """Break it now, in the way ``kind``; return what mends that. ``number`` chooses among variants."""
        made: dict[str, Callable[[int], Callable[[], None]]] = {
            "agent killed": self._kill_agents,
            "disk full": self._fill,
            "read-only folder": self._read_only,
            "clock jump": self._skew,
            "hostile output": self._take_over,
        }
        return made[kind](number)

    def mend(self) -> None:
        """Undo whatever was broken."""
        self.shell(f"rm -f {self.space}/fill {self.skew}")

    def _kill_agents(self, number: int) -> Callable[[], None]:
        for pid in self.agents():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return lambda: None

    def _fill(self, number: int) -> Callable[[], None]:
        self.shell(f"head -c 100000000 /dev/zero > {self.space}/fill 2>/dev/null || true")
        return self._empty

    def _empty(self) -> None:
        self.shell(f"rm -f {self.space}/fill")

    def _read_only(self, number: int) -> Callable[[], None]:
        self.shell(f"[ ! -d {self.root} ] || chown 12345 {self.root}; [ ! -d {self.root} ] || chmod 555 {self.root}")
        return self._writable_again

    def _writable_again(self) -> None:
        self.shell(
            f"[ ! -d {self.root} ] || chmod 700 {self.root}; [ ! -d {self.root} ] || chown {self._owner()} {self.root}"
        )

    def _owner(self) -> str:
        return str(os.getuid())

    def _skew(self, number: int) -> Callable[[], None]:
        seconds = (-864_000, 864_000, -3600, 3600, -70)[number % 5]
        self.shell(f"echo {seconds} > {self.skew}")
        return lambda: self.shell(f"rm -f {self.skew}") and None

    def _take_over(self, number: int) -> Callable[[], None]:
        """Put a program of another's in the place of our agent, keeping its name."""
        blob = f"{self.root}/blobs/{sha256_file(AGENT) if AGENT else ''}"
        script = f"#!/bin/sh\ntoken=$(sed -n 's/^token //p' \"$1\")\n{HOSTILE[number % len(HOSTILE)]}\n"
        make = f"printf %s {shlex.quote(script)} > {blob}.x && chmod 755 {blob}.x && mv -f {blob}.x {blob}"
        self.shell(f"[ ! -e {blob} ] || {{ {make}; }} 2>/dev/null || rm -f {blob}.x")  # on a disk that is full
        return lambda: None  # the next session finds out by itself


class LocalWorld(World):
    """This machine, with a small file system of its own for our folder."""

    def __init__(self, folder: Path, runtime: str) -> None:
        self.folder = folder
        self.space = str(folder / "space")
        Path(self.space).mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=777", "seatrial-test", self.space], check=True)
        self.root, self.knob, self.skew = f"{self.space}/root", str(folder / "knob"), str(folder / "skew")
        self.bin = folder / "bin"
        self.bin.mkdir()
        (self.bin / "date").write_text(SKEW.format(skew=self.skew, date="/bin/date"))
        (self.bin / "date").chmod(0o755)
        row = {"name": "here", "target": "x86-64-cpu-fp32", "root": self.root, "library": runtime}
        self.device = Device.model_validate({**row, "transport": "local", "allow_changes": "login"})

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "PATH": f"{self.bin}:{os.environ['PATH']}"}

    def shell(self, command: str) -> str:
        return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout

    def _empty(self) -> None:
        """It may be read-only at the same time: then it is writable for a moment."""
        fill, mount = f"{self.space}/fill", "mount -o remount"
        self.shell(f"rm -f {fill} || {{ {mount},rw {self.space} && rm -f {fill}; {mount},ro {self.space} || true; }}")

    def _read_only(self, number: int) -> Callable[[], None]:
        subprocess.run(["mount", "-o", "remount,ro", self.space], check=False, capture_output=True)
        return self._writable_again

    def _writable_again(self) -> None:
        subprocess.run(["mount", "-o", "remount,rw", self.space], check=True)

    def mend(self) -> None:
        self._writable_again()
        super().mend()

    def close(self) -> None:
        self._kill_agents(0)
        subprocess.run(["umount", "-l", self.space], check=True)


class SshWorld(LocalWorld):
    """This machine behind an sshd on loopback."""

    def __init__(self, folder: Path, runtime: str, home: Path) -> None:
        super().__init__(folder, runtime)
        (folder / "sshd").mkdir()
        path = f"SetEnv PATH={self.bin}:/usr/bin:/bin HOME={folder / 'sshd'} SEATRIAL_TEST_KNOB={self.knob}"
        self.server = Sshd(folder / "sshd", path)
        self.server.start()
        known = home / ".ssh" / "known_hosts"
        with known.open("a") as file:
            file.write(self.server.known_hosts_line())
        row = {"transport": "ssh", "address": "127.0.0.1", "port": self.server.port, "key": str(self.server.key)}
        self.device = Device.model_validate({**self.device.model_dump(exclude_none=True), **row, "name": "board"})

    def breaks(self, kind: str, number: int) -> Callable[[], None]:
        made = {"server killed": self._stop, "sessions killed": self._cut, "connection frozen": self._freeze}
        return made[kind]() if kind in made else super().breaks(kind, number)

    def mend(self) -> None:
        self._thaw()
        self._start()
        super().mend()

    def close(self) -> None:
        self.server.stop()
        super().close()

    def _stop(self) -> Callable[[], None]:
        self.server.stop()
        return self._start

    def _start(self) -> None:
        if self.server._process is None:
            self.server.start()

    def _cut(self) -> Callable[[], None]:
        self.server.kill_sessions()
        return lambda: None

    def _freeze(self) -> Callable[[], None]:
        self._signal_sessions(signal.SIGSTOP)
        return self._thaw

    def _thaw(self) -> None:
        self._signal_sessions(signal.SIGCONT)

    def _signal_sessions(self, number: signal.Signals) -> None:
        if self.server._process is None:
            return
        for pid in self.server.sessions():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                    os.kill(pid, number)


class LabWorld(World):
    """A device of the lab, of this machine's architecture, behind its own sshd or adbd and its own network."""

    def __init__(self, kind: str, board: LabDevice, device: Device) -> None:
        self.kind, self.board = kind, board
        self.space, self.root, self.knob, self.skew = "/small", "/small/seatrial", "/tmp/knob", "/tmp/skew"
        row = {"root": self.root, "library": library(NATIVE), "allow_changes": "login", "stamp": "native lab"}
        self.device = device.model_copy(update=row)
        self._date()

    def shell(self, command: str) -> str:
        until = time.monotonic() + 20
        while True:
            try:
                return self.board.shell(command)
            except subprocess.CalledProcessError:  # it has just been switched on
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def candidates(self) -> list[int]:
        return list(self.board.processes())

    def breaks(self, kind: str, number: int) -> Callable[[], None]:
        made: dict[str, Callable[[], Callable[[], None]]] = {
            "link down": self._unplug,
            "slow link": self._slow,
            "reboot": self._reboot,
            "server killed": self._kill_server,
            "adb server killed": lambda: self._adb("kill-server"),
            "adb disconnected": lambda: self._adb("disconnect", f"{self.board.address}:5555"),
        }
        return made[kind]() if kind in made else super().breaks(kind, number)

    def mend(self) -> None:
        self.board.link(up=True)
        subprocess.run(["tc", "qdisc", "del", "dev", self.board.wire, "root"], capture_output=True, check=False)
        super().mend()
        self._writable_again()

    def close(self) -> None:
        self.board.down()

    def _owner(self) -> str:
        return {"pi": "pi", "droid": "shell"}[self.kind]

    def _date(self) -> None:
        script = SKEW.format(skew=self.skew, date="/usr/bin/date")
        put = f"printf %s {shlex.quote(script)} > /usr/local/bin/date; chmod 755 /usr/local/bin/date"
        self.shell(f"mkdir -p /usr/local/bin; {put}")

    def _unplug(self) -> Callable[[], None]:
        self.board.link(up=False)
        return lambda: self.board.link(up=True)

    def _slow(self) -> Callable[[], None]:
        """200 kbit/s with a queue of 20 kB: slow, and what does not fit into the queue is lost."""
        shape = ["rate", "200kbit", "burst", "16kb", "limit", "20000"]
        subprocess.run(["tc", "qdisc", "replace", "dev", self.board.wire, "root", "tbf", *shape], check=True)
        delete = ["tc", "qdisc", "del", "dev", self.board.wire, "root"]
        return lambda: subprocess.run(delete, capture_output=True, check=False) and None

    def _reboot(self) -> Callable[[], None]:
        """All processes end, and what was in memory is lost: also our folder, which lies on a tmpfs here."""
        self.board.down()

        def boot() -> None:
            self.board.up()
            self._date()
            self.shell(f"printf 'slow\\n' > {self.knob}; chmod 666 {self.knob}")

        boot()
        return lambda: None

    def _kill_server(self) -> Callable[[], None]:
        self.board.kill("sshd" if self.kind == "pi" else "platform-tools/adbd")
        return lambda: time.sleep(0.3)  # the lab starts it anew

    def _adb(self, *words: str) -> Callable[[], None]:
        subprocess.run(["adb", *words], capture_output=True, check=False, timeout=30)
        return lambda: None
