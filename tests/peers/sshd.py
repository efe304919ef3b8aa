"""A real OpenSSH sshd on loopback, run by the current user on a free port with keys of its own."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

SSHD_PATHS = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def find_sshd() -> str | None:
    """Return the path of sshd, which is usually not on a user's PATH."""
    return shutil.which("sshd", path=SSHD_PATHS)


def free_port() -> int:
    """Return a TCP port on loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def make_key(path: Path, passphrase: str = "") -> Path:
    """Make an ed25519 key pair at ``path`` and ``path``.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", path], check=True)
    return path


class Sshd:
    """One server process. Its sessions are children of it, so that `kill` takes them along."""

    def __init__(self, folder: Path, *options: str, path: Path | None = None) -> None:
        self.folder, self._path = folder, path
        self.port = free_port()
        self.user = getpass.getuser()
        self.key = make_key(folder / "user_key")
        self.host_key = make_key(folder / "host_key")
        (folder / "authorized_keys").write_bytes((folder / "user_key.pub").read_bytes())
        self._config = folder / "sshd_config"
        self._config.write_text("\n".join([*self._settings(), *options, ""]))
        self._process: subprocess.Popen[bytes] | None = None

    def _settings(self) -> list[str]:
        return [
            f"ListenAddress 127.0.0.1:{self.port}",
            f"HostKey {self.host_key}",
            f"AuthorizedKeysFile {self.folder / 'authorized_keys'}",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            "PasswordAuthentication no",
            "PermitRootLogin prohibit-password",
            "Subsystem sftp internal-sftp",
            f"SetEnv {self._environment()}",
        ]

    def _environment(self) -> str:
        """Home, so that whatever the user's own shell files do stays out of here, and PATH. sshd reads one SetEnv."""
        return f"HOME={self.folder}" + (f" PATH={self._path}" if self._path else "")

    def start(self) -> None:
        """Start it and wait until it listens."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants its empty folder when it is root
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(find_sshd()), "-D", "-e", "-f", self._config], stderr=log, stdin=subprocess.DEVNULL
            )
        wait_for_port("127.0.0.1", self.port)

    def sessions(self) -> list[int]:
        """Return the process ids of all its descendants."""
        assert self._process
        found, todo = [], [self._process.pid]
        while todo:
            out = subprocess.run(["pgrep", "-P", str(todo.pop())], capture_output=True, text=True).stdout
            todo += [int(pid) for pid in out.split()]
            found += [int(pid) for pid in out.split()]
        return found

    def kill_sessions(self) -> None:
        """Kill the sshd processes of the open sessions, not what they started."""
        for pid in self.sessions():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it may end meanwhile
                if Path(f"/proc/{pid}/comm").read_text().startswith("sshd"):
                    os.kill(pid, signal.SIGKILL)

    def new_host_key(self) -> None:
        """Give the server another host key; counts from the next start."""
        self.host_key.unlink()
        self.host_key.with_suffix(".pub").unlink()
        make_key(self.host_key)

    def known_hosts_line(self) -> str:
        """Return the line that makes this server known."""
        return f"[127.0.0.1]:{self.port} {self.host_key.with_suffix('.pub').read_text()}"

    def stop(self) -> None:
        """Stop it and its sessions."""
        if self._process:
            children = self.sessions()
            self._process.kill()
            self._process.wait()
            for pid in children:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            self._process = None


def wait_for_port(host: str, port: int, seconds: float = 60) -> None:
    """Wait until somebody listens at ``host``:``port``."""
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=2).close()
            return
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
