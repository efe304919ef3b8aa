"""Which SSH host keys are trusted: those in the user's known_hosts, and those in Seatrial's own file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial_targets.errors import HostKeyError, UserError

from .ssh_config import Endpoint

if TYPE_CHECKING:
    from paramiko import HostKeys, PKey


@dataclass(frozen=True)
class HostKey:
    """A server's public key as it is shown to people and kept in a known_hosts file."""

    known_as: str  # `host` or `[host]:port`
    algorithm: str  # ssh-ed25519, ...
    base64: str
    fingerprint: str  # SHA256:...

    @property
    def line(self) -> str:
        """The line of a known_hosts file."""
        return f"{self.known_as} {self.algorithm} {self.base64}"

    @classmethod
    def of(cls, key: PKey, known_as: str) -> HostKey:
        """Return the description of ``key``."""
        return cls(known_as, key.get_name(), key.get_base64(), key.fingerprint)


class UntrustedKeyError(HostKeyError):
    """The host key is unknown or has changed; ``key`` is the one that the server showed."""

    def __init__(self, message: str, key: HostKey) -> None:
        super().__init__(message)
        self.key = key


def own_file() -> Path:
    """Return Seatrial's own known_hosts file."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "seatrial" / "known_hosts"


class KnownKeys:
    """The keys that are known for one endpoint, and in which file each is."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._name = endpoint.known_as
        self._files = [(path, _read(path)) for path in (own_file(), *endpoint.known_hosts)]

    def algorithms(self) -> list[str]:
        """Return the key types that are known, so that the server is asked for one of these."""
        return [kind for _, keys in self._files for kind in (keys.lookup(self._name) or {})]

    def check(self, key: PKey, device: str) -> None:
        """Raise UntrustedKeyError unless exactly this key is known."""
        shown = HostKey.of(key, self._name)
        differing: list[Path] = []
        for path, keys in self._files:
            if keys.check(self._name, key):
                return
            differing += [path] if keys.lookup(self._name) else []
        if not differing:
            raise UntrustedKeyError(_unknown(shown, device), shown)
        raise UntrustedKeyError(_changed(shown, differing[0], device), shown)


def _unknown(key: HostKey, device: str) -> str:
    return (
        f"{device}: the host key of {key.known_as} is not known yet: {key.algorithm} {key.fingerprint}\n"
        f"Compare it with what the device itself shows (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then: "
        f"seatrial devices trust {device}"
    )


def _changed(key: HostKey, path: Path, device: str) -> str:
    return (
        f"{device}: WARNING: THE HOST KEY OF {key.known_as} HAS CHANGED. Somebody may be listening in on the "
        f"connection, or the device was set up anew.\n"
        f"It shows {key.algorithm} {key.fingerprint}; {path} has another. If the device was set up anew: "
        f"ssh-keygen -f '{path}' -R '{key.known_as}', then: seatrial devices trust {device}"
    )


def remember(key: HostKey) -> Path:
    """Put ``key`` into Seatrial's own file, in place of others for the same name. Return the file."""
    path = own_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    old = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    lines = [line for line in old if line.split(" ", 1)[0] != key.known_as]
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text("\n".join([*lines, key.line, ""]), encoding="utf-8")
    temporary.chmod(0o600)
    temporary.replace(path)
    return path


def _read(path: Path) -> HostKeys:
    from paramiko import HostKeys

    keys = HostKeys()
    if path.is_file():
        try:
            keys.load(str(path))
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: can't be read: {error}") from error
    return keys
