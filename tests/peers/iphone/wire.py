"""Reading and writing what Apple's services speak: property lists with a length, and usbmuxd's packets."""

from __future__ import annotations

import plistlib
import socket
import struct
from typing import Any


def read(stream: socket.socket, count: int) -> bytes:
    """Read just so many bytes. Raises EOFError when the peer has gone."""
    data = b""
    while len(data) < count:
        part = stream.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def read_plist(stream: socket.socket) -> Any:
    """Read a property list after its length."""
    return plistlib.loads(read(stream, struct.unpack(">I", read(stream, 4))[0]))


def write_plist(stream: socket.socket, value: Any) -> None:
    """Write a property list after its length."""
    data = plistlib.dumps(value)
    stream.sendall(struct.pack(">I", len(data)) + data)


def read_mux(stream: socket.socket) -> tuple[Any, int]:
    """Read a packet to usbmuxd and its tag."""
    length, _, _, tag = struct.unpack("<IIII", read(stream, 16))
    return plistlib.loads(read(stream, length - 16)), tag


def write_mux(stream: socket.socket, value: Any, tag: int) -> None:
    """Write a packet of usbmuxd."""
    data = plistlib.dumps(value)
    stream.sendall(struct.pack("<IIII", 16 + len(data), 1, 8, tag) + data)
