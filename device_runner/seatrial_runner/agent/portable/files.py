"""Files read without trust."""

from __future__ import annotations

import os
import stat

from .failure import fail, text


def read_file(path: bytes, limit: int) -> bytes:
    """Return the content of a regular file of at most ``limit`` bytes; anything else is a device_error."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > limit:
                fail("device_error", f"{text(path)}: not a regular file of at most {limit} bytes")
            return file.read()
    except OSError as error:
        fail("device_error", f"{text(path)}: {error.strerror}")
