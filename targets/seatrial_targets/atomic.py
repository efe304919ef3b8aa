"""Write a file so that a reader, or a crash, sees either the old content or the whole new one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from seatrial_targets.errors import HarnessError


def write_atomic(path: Path | str, data: bytes | str) -> None:
    """Write ``data`` (text as UTF-8) to ``path`` by a temporary file beside it, fsync and rename.

    The mode of an existing file is kept, else it is that of a plain ``open``. Raises HarnessError when the disk is
    full, the folder is missing or not writable; the old content then stands and no temporary file is left.
    """
    path = Path(path)
    blob = data.encode() if isinstance(data, str) else data
    try:
        _replace(path, blob)
    except OSError as error:
        where = error.filename or path
        raise HarnessError(
            f"{path}: can't be written: {error.strerror or error} ({where}); nothing was changed"
        ) from error


def _replace(path: Path, blob: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:80]}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), _mode(path))
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(path.parent)


def _mode(path: Path) -> int:
    """The mode of the file that is replaced; for a new one, what ``open`` would give."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable; some file systems refuse fsync on a folder, and the rename holds anyway."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
