"""Apple File Conduit: files of one folder, as house_arrest hands out those of an app."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path
from typing import IO, Any

from .wire import read

OK, UNKNOWN_ERROR, UNSUPPORTED, NOT_FOUND, NOT_EMPTY = 0, 1, 15, 8, 33
STATUS, DATA, HANDLE = 1, 2, 14
MODES = {1: "rb", 2: "r+b", 3: "wb", 4: "w+b", 5: "ab", 6: "a+b"}


class Afc:
    """Serves one connection until it ends."""

    def __init__(self, stream: socket.socket, root: Path) -> None:
        self.stream, self.root = stream, root
        self.handles: dict[int, IO[bytes]] = {}
        self.number = 0

    def serve(self) -> None:
        operations = {
            3: self.list, 8: self.remove, 9: self.make, 10: self.stat, 11: self.about, 13: self.open,
            15: self.read, 16: self.write, 20: self.close, 24: self.rename,
        }  # fmt: skip
        while True:
            head = struct.unpack("<8sQQQQ", read(self.stream, 40))
            body = read(self.stream, head[1] - 40)
            self.number = head[3]
            data, payload = body[: head[2] - 40], body[head[2] - 40 :]
            try:
                operations.get(head[4], self.unknown)(data, payload)
            except FileNotFoundError:
                self.status(NOT_FOUND)
            except OSError as error:
                self.status(NOT_EMPTY if "not empty" in str(error) else UNKNOWN_ERROR)

    def answer(self, operation: int, data: bytes = b"", payload: bytes = b"") -> None:
        sizes = 40 + len(data) + len(payload), 40 + len(data)
        head = struct.pack("<8sQQQQ", b"CFA6LPAA", *sizes, self.number, operation)
        self.stream.sendall(head + data + payload)

    def status(self, code: int) -> None:
        self.answer(STATUS, struct.pack("<Q", code))

    def path(self, data: bytes) -> Path:
        path = (self.root / data.split(b"\0")[0].decode().lstrip("/")).resolve()
        if not path.is_relative_to(self.root):
            raise PermissionError(path)
        return path

    def unknown(self, data: bytes, payload: bytes) -> None:
        self.status(UNSUPPORTED)

    def list(self, data: bytes, payload: bytes) -> None:
        names = [".", "..", *sorted(os.listdir(self.path(data)))]
        self.answer(DATA, payload=b"".join(name.encode() + b"\0" for name in names))

    def make(self, data: bytes, payload: bytes) -> None:
        self.path(data).mkdir(parents=True, exist_ok=True)
        self.status(OK)

    def stat(self, data: bytes, payload: bytes) -> None:
        path = self.path(data)
        found, kind = path.stat(), "S_IFDIR" if path.is_dir() else "S_IFREG"
        times = {f"st_{name}time": found.st_mtime_ns for name in ("m", "birth")}
        self.pairs({"st_size": found.st_size, "st_blocks": found.st_blocks, "st_nlink": 1, "st_ifmt": kind, **times})

    def about(self, data: bytes, payload: bytes) -> None:
        self.pairs({"Model": "iPhone14,5", "FSTotalBytes": 1 << 36, "FSFreeBytes": 1 << 35, "FSBlockSize": 4096})

    def pairs(self, values: dict[str, Any]) -> None:
        self.answer(DATA, payload=b"".join(f"{key}\0{value}\0".encode() for key, value in values.items()))

    def open(self, data: bytes, payload: bytes) -> None:
        file = self.path(data[8:]).open(MODES[struct.unpack("<Q", data[:8])[0]])
        self.handles[file.fileno()] = file
        self.answer(HANDLE, struct.pack("<Q", file.fileno()))

    def read(self, data: bytes, payload: bytes) -> None:
        handle, count = struct.unpack("<QQ", data[:16])
        self.answer(DATA, payload=self.handles[handle].read(count))

    def write(self, data: bytes, payload: bytes) -> None:
        self.handles[struct.unpack("<Q", data[:8])[0]].write(data[8:] + payload)
        self.status(OK)

    def close(self, data: bytes, payload: bytes) -> None:
        self.handles.pop(struct.unpack("<Q", data[:8])[0]).close()
        self.status(OK)

    def remove(self, data: bytes, payload: bytes) -> None:
        path = self.path(data)
        path.rmdir() if path.is_dir() else path.unlink()
        self.status(OK)

    def rename(self, data: bytes, payload: bytes) -> None:
        old, new = data.split(b"\0")[:2]
        self.path(old).rename(self.path(new))
        self.status(OK)
