"""Open one authenticated SSH connection: socket, host key, keys, jump hosts; each failure in words."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial_targets.errors import AuthenticationError, UnreachableError

from ..deadline import Deadline
from .hostkeys import HostKey, KnownKeys
from .ssh_config import Endpoint

if TYPE_CHECKING:
    from paramiko import PKey, Transport

# A dead link is an error within 10 s: every 2 s there is something to acknowledge, and the kernel gives up when
# nothing was acknowledged for 7 s. Without these, a transfer over a dead link waits for ever.
KEEPALIVE_S = 2
UNACKNOWLEDGED_MS = 7000
_WINDOW_BYTES = 16 << 20
_MOST_KEYS = 6  # sshd's default MaxAuthTries: one more and it hangs up

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # its threads log tracebacks; we raise errors


class Connection:
    """An SSH connection, and those to the jump hosts that carry it."""

    def __init__(self, device: str, target: Endpoint, deadline: Deadline, *, authenticate: bool = True) -> None:
        """Connect. With ``authenticate`` false, stop at the target's host key, which is not checked then.

        Raises UnreachableError, UntrustedKeyError, AuthenticationError.
        """
        self._device = device
        with ExitStack() as opened:
            carrier: Transport | None = None
            for hop in target.jumps:
                carrier = self._connect(hop, carrier, deadline, opened)
                self._authenticate(carrier, hop, deadline)
            self.transport = self._connect(target, carrier, deadline, opened, check=authenticate)
            self.host_key = HostKey.of(self.transport.get_remote_server_key(), target.known_as)
            if authenticate:
                self._authenticate(self.transport, target, deadline)
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Close all of them; safe to call twice."""
        self._opened.close()

    def _connect(
        self, to: Endpoint, carrier: Transport | None, deadline: Deadline, opened: ExitStack, *, check: bool = True
    ) -> Transport:
        import paramiko

        known = KnownKeys(to)
        try:
            wire = _open_socket(to, deadline) if carrier is None else _tunnel(to, carrier, deadline)
            opened.callback(wire.close)
            transport = paramiko.Transport(wire, default_window_size=_WINDOW_BYTES)
            opened.callback(transport.close)
            _prefer(transport, known.algorithms())
            transport.start_client(timeout=deadline.left())
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise UnreachableError(f"{self._device}: no SSH connection to {to}: {_reason(error)}") from error
        transport.set_keepalive(KEEPALIVE_S)
        if check:
            known.check(transport.get_remote_server_key(), self._device)
        return transport

    def _authenticate(self, transport: Transport, to: Endpoint, deadline: Deadline) -> None:
        import paramiko

        transport.auth_timeout = max(1.0, deadline.left())
        notes: list[str] = []
        offered = 0
        for key in _keys(to, notes):
            if offered == _MOST_KEYS:
                notes.append(f"only the first {_MOST_KEYS} keys were offered")
                break
            offered += 1
            try:
                if not transport.auth_publickey(to.user, key):
                    return
                notes.append("the device wants a second factor, which Seatrial can't give")
            except paramiko.BadAuthenticationType as error:
                notes.append(f"the device takes only {', '.join(error.allowed_types)}, no keys")
                break
            except paramiko.AuthenticationException:
                continue
            except (OSError, EOFError, paramiko.SSHException) as error:
                raise UnreachableError(f"{self._device}: {to} hung up: {_reason(error)}") from error
        tried = f"{offered} key{'' if offered == 1 else 's'} offered" + "".join(f"; {note}" for note in notes)
        raise AuthenticationError(
            f"{self._device}: {to} refused us ({tried}); check 'user' and 'key' in devices.yaml, or: "
            f"ssh-copy-id -p {to.port} {to.user}@{to.host}"
        )


def _open_socket(to: Endpoint, deadline: Deadline) -> socket.socket:
    wire = socket.create_connection((to.host, to.port), timeout=deadline.left() or 0.001)
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if sys.platform == "linux":
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    return wire


def _tunnel(to: Endpoint, carrier: Transport, deadline: Deadline) -> socket.socket:
    channel = carrier.open_channel("direct-tcpip", (to.host, to.port), ("127.0.0.1", 0), timeout=deadline.left())
    return channel  # type: ignore[return-value]  # paramiko takes its channels where it takes sockets


def _prefer(transport: Transport, key_types: list[str]) -> None:
    """Put AES-GCM first (paramiko has it last; it is twice as fast), and the host key types that are known."""
    options = transport.get_security_options()
    options.ciphers = sorted(options.ciphers, key=lambda name: "gcm" not in name)
    wanted = {*key_types, *(("rsa-sha2-512", "rsa-sha2-256") if "ssh-rsa" in key_types else ())}
    options.key_types = sorted(options.key_types, key=lambda name: name not in wanted)


def _keys(to: Endpoint, notes: list[str]) -> Iterator[PKey]:
    """Yield the keys to offer: the endpoint's own, then the agent's. Why one can't be used goes to ``notes``."""
    import paramiko

    for path in to.keys:
        try:
            yield paramiko.PKey.from_path(path)
        except (paramiko.PasswordRequiredException, TypeError):
            notes.append(f"{path} has a passphrase: ssh-add {path}")
        except FileNotFoundError:
            notes.append(f"{path} does not exist")
        except (OSError, ValueError, paramiko.SSHException) as error:
            notes.append(f"{path} can't be read: {_reason(error)}")
    allowed = {_public(path) for path in to.keys} if to.only_these_keys else None
    try:
        agent = paramiko.Agent()
    except paramiko.SSHException as error:
        notes.append(f"the ssh agent does not answer: {error}")
        return
    try:
        yield from (key for key in agent.get_keys() if allowed is None or key.get_base64() in allowed)
    finally:
        agent.close()


def _public(path: Path) -> str:
    try:
        return path.with_name(f"{path.name}.pub").read_text().split()[1]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time; is it switched on and on this network?"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused; is sshd running there?"
    if isinstance(error, EOFError):
        return "the other side closed the connection"
    return str(error) or type(error).__name__
