"""A device behind SSH, through paramiko. Host keys are strict; a dead link is an error within 10 s."""

from __future__ import annotations

import select
from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from seatrial_targets.errors import DeviceError, LinkLostError

from ..deadline import Deadline
from . import hostkeys
from .remote import ShellTransport
from .shell import MarkedStream
from .ssh_config import endpoint
from .ssh_connect import Connection

if TYPE_CHECKING:
    from pathlib import Path

    from paramiko import Channel

    from seatrial_targets.inventory import Device

_CONNECT_S = 30.0
_READ_BYTES = 1 << 18
_PACKET_BYTES = (32 << 10) - 64  # what sshd takes in one packet
_PACKETS = 16  # sent before looking at what the device says
_LOOK_S = 1.0  # how often a silent channel is looked at
_WINDOW_S = 0.1  # how long to wait for the device to take more before looking at what it says


def fetch_host_key(device: Device) -> hostkeys.HostKey:
    """Return the host key to show to the user: the device's, or that of the first jump host that isn't trusted yet.

    Raises UnreachableError when nobody answers.
    """
    try:
        connection = Connection(device.name, endpoint(device), Deadline.after(_CONNECT_S), authenticate=False)
    except hostkeys.UntrustedKeyError as error:
        return error.key
    connection.close()
    return connection.host_key


def trust(device: Device, key: hostkeys.HostKey) -> Path:
    """Trust ``key``, as `fetch_host_key` returned it for ``device``, from now on. Return the file that holds it."""
    return hostkeys.remember(key)


class SshTransport(ShellTransport):
    """One SSH connection, a channel for each program. The user's login shell there has to be a POSIX one."""

    def __init__(self, name: str, connection: Connection) -> None:
        super().__init__(name)
        self._connection = connection

    @classmethod
    def from_device(cls, device: Device) -> Self:
        """Connect, and make `device.root` ready, by default ~/.cache/seatrial there."""
        deadline = Deadline.after(_CONNECT_S)
        self = cls(device.name, Connection(device.name, endpoint(device), deadline))
        try:
            self._prepare_root(device.root or ".cache/seatrial", deadline)
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Close the connection; what still runs on the device is ended there by that."""
        self._connection.close()

    def _exchange(
        self,
        command: str,
        feed: Iterator[bytes],
        streams: tuple[MarkedStream, MarkedStream],
        deadline: Deadline,
        *,
        hold: bool,
    ) -> str:
        doing = f"a program on {self.name}"
        channel = self._open(command, deadline, doing)
        try:
            sender = _Sender(channel, feed, hold)
            while any(stream.code is None for stream in streams):
                deadline.check(doing)
                ended = channel.eof_received or channel.closed
                if _drain(channel, streams) or sender.send_some():
                    continue
                if ended:
                    break
                select.select([channel], [], [], min(_LOOK_S, deadline.left()))
            return self._words(channel)
        finally:
            channel.close()

    def _open(self, command: str, deadline: Deadline, doing: str) -> Channel:
        from paramiko import ChannelException, SSHException

        try:
            channel = self._connection.transport.open_session(timeout=deadline.check(doing))
            channel.exec_command(command)
        except ChannelException as error:
            raise DeviceError(f"{self.name}: sshd opens no more sessions (MaxSessions?): {error}") from error
        except (SSHException, OSError, EOFError) as error:
            deadline.check(doing)
            raise LinkLostError(f"{self.name}: the SSH connection is gone: {error}; try again") from error
        return channel

    def _words(self, channel: Channel) -> str:
        if (error := self._connection.transport.get_exception()) is not None:
            return str(error) or type(error).__name__
        return f"exit status {channel.recv_exit_status()}" if channel.exit_status_ready() else ""


def _drain(channel: Channel, streams: tuple[MarkedStream, MarkedStream]) -> bool:
    """Pass on what has arrived. Return whether there was anything."""
    some = False
    if channel.recv_ready():
        streams[0].feed(channel.recv(_READ_BYTES))
        some = True
    if channel.recv_stderr_ready():
        streams[1].feed(channel.recv_stderr(_READ_BYTES))
        some = True
    return some


class _Sender:
    """Sends chunks to a channel without waiting long, so that what the device says is read meanwhile."""

    def __init__(self, channel: Channel, feed: Iterator[bytes], hold: bool) -> None:
        channel.settimeout(_WINDOW_S)
        self._channel, self._feed, self._hold = channel, feed, hold
        self._chunk, self._at = b"", 0
        self._open = True

    def send_some(self) -> bool:
        """Send a few packets, as far as the device takes them. Return whether there is more."""
        if not self._open:
            return False
        for _ in range(_PACKETS):
            if not self._send():
                break
        return self._open

    def _send(self) -> bool:
        """Send a packet. Return False when the device takes none now, or there is none."""
        try:
            if self._at == len(self._chunk):
                self._chunk, self._at = next(self._feed, b""), 0
            if self._chunk:
                self._at += self._channel.send(self._chunk[self._at : self._at + _PACKET_BYTES])
                return True
            if not self._hold:
                self._channel.shutdown_write()
        except TimeoutError:
            return False
        except (OSError, EOFError):  # nobody reads any more; how it ended is told by the streams
            pass
        self._open = False
        return False
