"""Where bytes are kept: a folder, or whatever fsspec reaches (S3 and its like). Small files, whole at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from seatrial_targets.atomic import write_atomic
from seatrial_targets.errors import HarnessError, UserError

# In these a folder is nothing but a part of a name, and making one would make a bucket of a name that was mistyped.
BUCKETS = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss"}


class Storage(Protocol):
    """Files by POSIX path. A reader never sees half of one."""

    place: str

    def read(self, path: str) -> bytes:
        """Return a file. Raises FileNotFoundError."""

    def write(self, path: str, data: bytes) -> None:
        """Write a file, in place of an earlier one."""

    def remove(self, path: str) -> None:
        """Remove a file; nothing happens when it is not there."""

    def files(self, folder: str) -> Iterator[str]:
        """Yield the paths of all files below ``folder``."""


class Folder:
    """Files in a local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.place = str(root)

    def read(self, path: str) -> bytes:
        """Return a file. Raises FileNotFoundError."""
        return self._at(path).read_bytes()

    def write(self, path: str, data: bytes) -> None:
        """Write a file atomically."""
        target = self._at(path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HarnessError(f"{target.parent}: can't be made: {error.strerror}; choose another store") from error
        write_atomic(target, data)

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._at(path).unlink(missing_ok=True)

    def files(self, folder: str) -> Iterator[str]:
        """Yield the paths of all files below ``folder``."""
        for path in sorted(self._at(folder).rglob("*")):
            if path.is_file():
                yield path.relative_to(self._root).as_posix()

    def _at(self, path: str) -> Path:
        return self._root / safe(path)


class Remote:
    """Files behind an fsspec URL such as s3://bucket/folder. One write of a whole object is atomic there."""

    def __init__(self, url: str) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise UserError(f"{without_secret(url)}: needs fsspec; run: pip install 'seatrial[s3]'") from error
        self.place = without_secret(url)
        try:
            self._system, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UserError(
                f"{self.place}: can't be reached: {error}; for S3 run: pip install 'seatrial[s3]'"
            ) from error

    def read(self, path: str) -> bytes:
        """Return a file. Raises FileNotFoundError."""
        data: bytes = self._explained(self._system.cat_file, self._at(path))
        return data

    def write(self, path: str, data: bytes) -> None:
        """Write a file."""
        where = self._at(path)
        try:
            if not BUCKETS & set(self._protocols()):
                self._explained(self._system.makedirs, where.rpartition("/")[0], exist_ok=True)
            self._explained(self._system.pipe_file, where, data)
        except FileNotFoundError as error:
            text = f"{self.place}: there is no such bucket or folder ({without_secret(str(error))[:200]})"
            raise HarnessError(f"{text}; check the address, or make it first") from error

    def remove(self, path: str) -> None:
        """Remove a file."""
        try:
            self._explained(self._system.rm_file, self._at(path))
        except FileNotFoundError:
            return

    def files(self, folder: str) -> Iterator[str]:
        """Yield the paths of all files below ``folder``."""
        self._system.invalidate_cache()
        root = self._system._strip_protocol(self._root).rstrip("/")
        for path in sorted(self._explained(self._system.find, self._at(folder))):
            yield path.removeprefix(root).lstrip("/")

    def _protocols(self) -> tuple[str, ...]:
        found = self._system.protocol
        return (found,) if isinstance(found, str) else tuple(found)

    def _at(self, path: str) -> str:
        return f"{self._root.rstrip('/')}/{safe(path)}"

    def _explained(self, call: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return call(*arguments, **named)
        except FileNotFoundError:
            raise
        except Exception as error:  # every backend has its own tree of errors
            text = f"{type(error).__name__}: {without_secret(str(error))[:300]}"
            raise HarnessError(f"{self.place}: {text}; check the address and the credentials") from error


def open_storage(place: str | Path) -> Storage:
    """Return the storage at a path or URL."""
    text = str(place)
    if "://" in text and not text.startswith("file://"):
        return Remote(text)
    return Folder(Path(text.removeprefix("file://")).expanduser())


def safe(path: str) -> str:
    """Return ``path`` if it stays where it belongs. Raises UserError for absolute paths and for '..'."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
        raise UserError(f"{path!r} is not a path within a store")
    return "/".join(parts)


def without_secret(text: str) -> str:
    """Return ``text`` without user:password of a URL."""
    return re.sub(r"://[^/@\s]*@", "://***@", text)
