"""From a device's row, and the user's ssh_config where the row names a host in it, to what SSH has to reach."""

from __future__ import annotations

import getpass
import glob
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial_targets.errors import UserError

if TYPE_CHECKING:
    from seatrial_targets.inventory import Device

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_INCLUDE_DEPTH = 16  # OpenSSH's own limit (readconf.c, READCONF_MAX_DEPTH)


@dataclass(frozen=True)
class Endpoint:
    """One SSH server, and the servers (``jumps``, nearest first) that lead to it."""

    host: str
    port: int
    user: str
    keys: tuple[Path, ...] = ()
    only_these_keys: bool = False  # do not offer the agent's other keys
    known_hosts: tuple[Path, ...] = ()
    alias: str = ""  # HostKeyAlias: under which name the host key is known
    jumps: tuple[Endpoint, ...] = field(default=(), compare=False)

    @property
    def known_as(self) -> str:
        """The name under which known_hosts files keep the key: `host`, or `[host]:port`."""
        return self.alias or (self.host if self.port == 22 else f"[{self.host}]:{self.port}")

    def __str__(self) -> str:
        return f"{self.user}@{self.host}:{self.port}"


def endpoint(device: Device) -> Endpoint:
    """Return where ``device`` is. What its row says goes before what ssh_config says.

    ssh_config is read only when the row has `host:`. Understood: HostName, User, Port, IdentityFile, IdentitiesOnly,
    ProxyJump, HostKeyAlias, UserKnownHostsFile, Include. Raises UserError for what can't be used.
    """
    config = _Config() if device.ssh_config_host or device.jump else None
    entry = config.lookup(device.ssh_config_host) if config and device.ssh_config_host else {}
    host = device.address or entry.get("hostname") or device.ssh_config_host
    if not host:
        raise UserError(f"device {device.name}: needs an address, or 'host:' with a name from your ssh_config")
    if entry.get("proxycommand", "none") != "none":
        raise UserError(
            f"device {device.name}: ssh_config has a ProxyCommand for {device.ssh_config_host}, which Seatrial does "
            f"not run; use ProxyJump there, or 'jump:' in devices.yaml"
        )
    jump = device.jump or entry.get("proxyjump") or "none"
    jumps = tuple(_hop(part, config) for part in jump.split(",")) if config and jump != "none" else ()
    return _endpoint(host, device.port, device.user, device.key, entry, jumps)


def _hop(text: str, config: _Config) -> Endpoint:
    """Return the endpoint for one `[user@]host[:port]` of a ProxyJump."""
    text = text.strip().removeprefix("ssh://")
    user, _, rest = text.rpartition("@")
    name, colon, port = rest.rpartition(":")
    if not colon or rest.endswith("]"):
        name, port = rest, ""
    if (port and not port.isdigit()) or not name:
        raise UserError(f"jump host {text!r}: expected [user@]host[:port]")
    name = name.strip("[]")
    entry = config.lookup(name)
    return _endpoint(entry.get("hostname", name), int(port) if port else None, user or None, None, entry, ())


def _endpoint(
    host: str, port: int | None, user: str | None, key: str | None, entry: dict[str, Any], jumps: tuple[Endpoint, ...]
) -> Endpoint:
    named = [key] if key else entry.get("identityfile", [])
    keys = tuple(Path(name).expanduser() for name in named)
    if not keys:
        ours = (Path.home() / ".ssh" / name for name in _DEFAULT_KEYS)
        keys = tuple(path for path in ours if path.is_file())
    files = entry.get("userknownhostsfile", "~/.ssh/known_hosts").split()
    return Endpoint(
        host=host,
        port=port or int(entry.get("port", 22)),
        user=user or entry.get("user") or getpass.getuser(),
        keys=keys,
        only_these_keys=entry.get("identitiesonly", "no") == "yes",
        known_hosts=tuple(Path(name).expanduser() for name in files),
        alias=entry.get("hostkeyalias", ""),
        jumps=jumps,
    )


class _Config:
    """The user's ssh_config. paramiko doesn't know Include, so included files are put in place before it reads."""

    def __init__(self) -> None:
        from paramiko import SSHConfig
        from paramiko.ssh_exception import ConfigParseError

        path = Path.home() / ".ssh" / "config"
        try:
            self._config = SSHConfig.from_text("\n".join(_included(path, 0)))
        except ConfigParseError as error:
            raise UserError(f"{path}: {error}") from error

    def lookup(self, name: str) -> dict[str, Any]:
        """Return what the file says of a host; raise UserError where that can't be worked out."""
        from paramiko.ssh_exception import CouldNotCanonicalize

        try:
            return dict(self._config.lookup(name))
        except (CouldNotCanonicalize, ImportError) as error:  # `Match exec` wants a package that we don't bring
            raise UserError(f"~/.ssh/config, host {name}: can't be worked out: {error}") from error


def _included(path: Path, depth: int) -> list[str]:
    """Return the lines of ``path`` with its includes in place; after each the enclosing Host line is repeated."""
    if depth > _INCLUDE_DEPTH:
        raise UserError(f"{path}: more than {_INCLUDE_DEPTH} levels of Include")
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    lines, enclosing = [], "Host *"
    for line in text.splitlines():
        word, _, rest = line.strip().replace("=", " ", 1).partition(" ")
        if word.lower() == "include":
            for pattern in rest.split():
                for name in sorted(glob.glob(_in_ssh_folder(pattern.strip('"')))):
                    lines += [*_included(Path(name), depth + 1), enclosing]
            continue
        if word.lower() in ("host", "match"):
            enclosing = line
        lines.append(line)
    return lines


def _in_ssh_folder(pattern: str) -> str:
    return str(Path.home() / ".ssh" / Path(pattern).expanduser())
