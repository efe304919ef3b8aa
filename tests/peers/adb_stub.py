"""The device side of the adb handshake, as far as the states that the real adbd of the lab can't be brought into.

Messages are six little-endian words (command, two arguments, length, sum of the bytes, command inverted) and a
payload: https://android.googlesource.com/platform/packages/modules/adb/+/refs/heads/main/protocol.txt
"""

from __future__ import annotations

import os
import socket
import struct
import threading

AUTH_TOKEN = 1


class AdbStub:
    """Listens on loopback. `unauthorized`: refuses every signature and key; `offline`: never answers the greeting."""

    def __init__(self, state: str) -> None:
        assert state in ("unauthorized", "offline")
        self._state = state
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Hang up."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for wire in self._open:
            wire.close()

    def _accept(self) -> None:
        while True:
            try:
                wire, _ = self._server.accept()
            except OSError:
                return
            self._open.append(wire)
            threading.Thread(target=self._serve, args=(wire,), daemon=True).start()

    def _serve(self, wire: socket.socket) -> None:
        try:
            with wire.makefile("rb") as stream:
                while len(head := stream.read(24)) == 24:
                    command, kind, _, length, _, _ = struct.unpack("<4s5I", head)
                    stream.read(length)
                    if self._state == "unauthorized" and (command == b"CNXN" or (command, kind) == (b"AUTH", 2)):
                        wire.sendall(_message(b"AUTH", AUTH_TOKEN, os.urandom(20)))
        except (OSError, ValueError):
            return


def _message(command: bytes, argument: int, payload: bytes) -> bytes:
    number = int.from_bytes(command, "little")
    return struct.pack("<6I", number, argument, 0, len(payload), sum(payload), number ^ 0xFFFFFFFF) + payload
