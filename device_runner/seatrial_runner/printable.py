"""Words of a device, made fit to be shown: it is untrusted, and so is its output."""

from __future__ import annotations


def printable(raw: bytes, limit: int = 400, *, end: bool = False) -> str:
    """Return device output as one line without control characters: its first ``limit`` characters, or its last.

    >>> printable(b"no\\x1b[2J  space\\n")
    'no [2J space'
    """
    raw = raw[-limit * 4 :] if end else raw[: limit * 4]
    text = "".join(char if char.isprintable() else " " for char in raw.decode("utf-8", "replace"))
    line = " ".join(text.split())
    return line[-limit:] if end else line[:limit]
