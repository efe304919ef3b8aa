"""The channel by which developer tools start apps: DTX messages with keyed archives, as far as a launch needs."""

from __future__ import annotations

import plistlib
import socket
import struct
from collections.abc import Callable
from plistlib import UID
from typing import Any

from .wire import read

MAGIC = 0x1F3D5B79
DISPATCH, REPLY = 2, 3
HEAD = "<IIHHIIIiI"  # magic, size of this, fragment, fragments, length, message, in answer, channel, wants a reply


class Dtx:
    """Serves one connection until it ends; ``launch`` gets the bundle identifier and returns a process id."""

    def __init__(self, stream: socket.socket, launch: Callable[[str], int]) -> None:
        self.stream, self.launch = stream, launch

    def serve(self) -> None:
        capabilities = archive({"com.apple.private.DTXConnection": 1})
        self.send(DISPATCH, archive("_notifyOfPublishedCapabilities:"), auxiliary(capabilities), message=1)
        while True:
            head = struct.unpack(HEAD, read(self.stream, 32))
            body = read(self.stream, head[4])
            answer = self.answer(body)
            if head[8]:
                self.send(REPLY, answer, b"", message=head[5], conversation=head[6] + 1, channel=head[7])

    def answer(self, body: bytes) -> bytes:
        _, aux_length, total = struct.unpack("<IIQ", body[:16])
        selector = unarchive(body[16 + aux_length : 16 + total]) if total > aux_length else None
        if isinstance(selector, str) and selector.startswith("launchSuspendedProcess"):
            words = [unarchive(each) for each in objects(body[16 : 16 + aux_length])]
            return archive(self.launch(words[1]))
        return b""

    def send(
        self, kind: int, payload: bytes, aux: bytes, *, message: int, conversation: int = 0, channel: int = 0
    ) -> None:
        body = struct.pack("<IIQ", kind, len(aux), len(aux) + len(payload)) + aux + payload
        self.stream.sendall(struct.pack(HEAD, MAGIC, 32, 0, 1, len(body), message, conversation, channel, 0) + body)


def auxiliary(*archives: bytes) -> bytes:
    """Return arguments of a message, each an archived object."""
    items = b"".join(struct.pack("<III", 10, 2, len(each)) + each for each in archives)
    return struct.pack("<QQ", 0x1F0, len(items)) + items


def objects(aux: bytes) -> list[bytes]:
    """Return the archived objects among the arguments of a message."""
    found, at = [], 16
    while at < len(aux):
        kind = struct.unpack("<I", aux[at : at + 4])[0]
        at += 4
        if kind == 2:
            size = struct.unpack("<I", aux[at : at + 4])[0]
            found.append(aux[at + 4 : at + 4 + size])
            at += 4 + size
        else:
            at += {3: 4, 6: 8}.get(kind, 0)
    return found


def archive(value: Any) -> bytes:
    """Return a number, a text, or a dictionary of such, as NSKeyedArchiver writes it."""
    table: list[Any] = ["$null"]
    if isinstance(value, dict):
        body: dict[str, Any] = {"NS.keys": [], "NS.objects": []}
        table.append(body)
        for part, items in (("NS.keys", value.keys()), ("NS.objects", value.values())):
            for item in items:
                body[part].append(UID(len(table)))
                table.append(item)
        body["$class"] = UID(len(table))
        table.append({"$classname": "NSDictionary", "$classes": ["NSDictionary", "NSObject"]})
    else:
        table.append(value)
    made = {"$version": 100000, "$archiver": "NSKeyedArchiver", "$top": {"root": UID(1)}, "$objects": table}
    return plistlib.dumps(made, fmt=plistlib.FMT_BINARY)


def unarchive(data: bytes) -> Any:
    """Return the root of an archive, when it is a text or a number; else None."""
    raw = plistlib.loads(data)
    root = raw["$objects"][raw["$top"]["root"].data]
    return root if isinstance(root, (str, int)) else None
