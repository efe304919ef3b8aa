"""Mode evict: ask the kernel to forget what it holds of some files, so that the next start finds them cold. No root."""

from __future__ import annotations

import ctypes
import mmap
import os

from .failure import fail, text


def evict(paths: list[bytes]) -> dict[str, int]:
    """Return the bytes of the files, and those that stayed in memory since somebody has them mapped."""
    total = left = 0
    for path in paths:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                length = os.fstat(fd).st_size
                os.fdatasync(fd)  # what was not written yet can't be forgotten
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                total, left = total + length, left + resident(fd, length)
            finally:
                os.close(fd)
        except OSError as error:
            fail("device_error", f"{text(path)}: {error.strerror}")
    return {"bytes": total, "resident": left}


def resident(fd: int, length: int) -> int:
    """Return the bytes of the file's pages that are in memory (mincore); all where that can't be told."""
    if not length:
        return 0
    page = mmap.PAGESIZE
    states = (ctypes.c_ubyte * ((length + page - 1) // page))()
    # Writable but private: only such a map has an address for ctypes. Nothing is written.
    with mmap.mmap(fd, length, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as area:
        start = ctypes.c_char.from_buffer(area)
        failed = ctypes.CDLL(None).mincore(ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(length), states)
        del start
    return length if failed else sum(state & 1 for state in states) * page
