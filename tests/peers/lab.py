"""The device lab from Python: `lab.sh` brings devices up and takes them away; faults are made here."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from peers.sshd import wait_for_port

REPOSITORY = Path(__file__).parents[2]
FOLDER = REPOSITORY / ".lab"
NATIVE = REPOSITORY / ".lab-native"  # of this machine's own architecture: fast
SCRIPT = REPOSITORY / "tests" / "peers" / "lab.sh"
NEEDS = "needs root: the arm64 device lab"
NEEDS_MIRROR = "needs Debian, or DEBIAN_MIRROR set to a mirror of it: the arm64 device lab"


def require_root() -> None:
    """Skip with one plain notice where the lab can't be; fail instead when SEATRIAL_REQUIRE_LAB is set."""
    missing = _missing()
    if not missing:
        return
    if os.environ.get("SEATRIAL_REQUIRE_LAB"):
        pytest.fail(missing)
    pytest.skip(missing)


def _missing() -> str:
    if os.geteuid() != 0 or not shutil.which("apt-get") or sys.platform != "linux":
        return NEEDS
    debian = "\nID=debian\n" in Path("/etc/os-release").read_text()
    return "" if debian or os.environ.get("DEBIAN_MIRROR") else NEEDS_MIRROR


def script(*words: str) -> None:
    """Run `lab.sh`; what it says is shown only when it fails."""
    pins = (REPOSITORY / "constraints.txt").read_text().split()
    runtime = next((pin for pin in pins if pin.startswith("onnxruntime==")), "onnxruntime")
    environment = {**os.environ, "PYTHON": sys.executable, "ONNXRUNTIME": runtime}
    with (FOLDER / f"lab-{os.getpid()}.log").open("w+b") as log:
        done = subprocess.run(
            [SCRIPT, *words], env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=False
        )
        log.seek(0)
        said = log.read().decode("utf-8", "replace")
    Path(log.name).unlink()
    assert done.returncode == 0, f"lab.sh {' '.join(words)}: {done.returncode}\n{said}"


def packages() -> None:
    """Install what the host needs, once."""
    FOLDER.mkdir(exist_ok=True)
    script("packages")


def build(folder: Path = FOLDER) -> None:
    """Install what the host needs and build the tree, both only once."""
    packages()
    own = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    script("build", str(folder), *([own] if folder == NATIVE else []))
    script("sweep")


def library(folder: Path = FOLDER) -> str:
    """Return the path, on the devices of a lab, of the ONNX Runtime that lies in their tree."""
    path = next((folder / "rootfs").glob("opt/py/onnxruntime/capi/libonnxruntime.so.*"))
    return "/" + str(path.relative_to(folder / "rootfs"))


class LabDevice:
    """One device in its own namespaces: emulated, or of this machine's architecture."""

    def __init__(self, kind: str, server: str, port: int, folder: Path = FOLDER) -> None:
        self._net, self._server, self._port, self.folder = _free_net(), server, port, folder
        # One process may have an emulated and a native device of a kind; `lab.sh sweep` wants the process last.
        self.name = f"seatrial-{kind}{self._net}-{os.getpid()}"
        self.address = f"10.77.{self._net}.2"

    def up(self) -> None:
        """Bring it up and wait until it answers."""
        script("up", str(self.folder), self.name, str(self._net), self._server)
        wait_for_port(self.address, self._port)

    def down(self) -> None:
        """Take it away with everything that ran in it."""
        script("down", self.name)

    @property
    def wire(self) -> str:
        """The name of this machine's end of its network cable."""
        return f"lab{self._net}"

    def link(self, up: bool) -> None:
        """Plug the network cable in, or pull it."""
        subprocess.run(["ip", "link", "set", f"lab{self._net}", "up" if up else "down"], check=True)

    def processes(self) -> dict[int, str]:
        """Return the command line of the device's processes, by their process id on the host."""
        first = int(Path(f"/run/seatrial-lab/{self.name}.pid").read_text())
        found: dict[int, str] = {}
        todo = [first]
        while todo:
            for pid in subprocess.run(["pgrep", "-P", str(todo.pop())], capture_output=True).stdout.split():
                todo.append(int(pid))
                found[int(pid)] = _command_line(int(pid))
        return {pid: line for pid, line in found.items() if "/qemu-aarch64 " in line or _is_inside(pid)}

    def running(self, text: str) -> list[int]:
        """Return the processes whose command line holds ``text``."""
        return [pid for pid, line in self.processes().items() if text in line]

    def kill(self, text: str) -> None:
        """Kill the processes whose command line holds ``text``, hard."""
        for pid in self.running(text):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def tree(self) -> Path:
        """The device's files, as this machine sees them."""
        return Path(f"/proc/{self._inside()}/root/mnt/root")

    def _inside(self) -> str:
        first = Path(f"/run/seatrial-lab/{self.name}.pid").read_text().strip()
        found = subprocess.run(["pgrep", "-P", first], capture_output=True, text=True, check=True)
        return found.stdout.split()[0]

    def shell(self, command: str) -> str:
        """Run a command on the device as root, not through what is tested."""
        inside = ["nsenter", "-t", self._inside(), "-m", "-p", "chroot", "/mnt/root", "/bin/sh", "-c", command]
        return subprocess.run(inside, capture_output=True, text=True, check=True).stdout


def _is_inside(pid: int) -> bool:
    """Whether a process is the device's own, and not of what holds the device."""
    try:
        return os.readlink(f"/proc/{pid}/root") == "/mnt/root"
    except OSError:
        return False


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _free_net() -> int:
    """Return a number N for which this machine has no 10.77.N.0/24, so that two test sessions can be at once."""
    taken = subprocess.run(["ip", "-4", "-o", "addr"], capture_output=True, text=True, check=True).stdout
    start = os.getpid() % 200
    return next(net for net in (*range(start + 10, 250), *range(10, start + 10)) if f" 10.77.{net}." not in taken)
