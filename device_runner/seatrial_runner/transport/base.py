"""How a device is reached: four verbs, whatever the wire.

A transport knows bytes, files and processes; it knows nothing of models. Everything that is the same for all of
them (quoting, end markers, process groups, the content-addressed cache) lives here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from ..deadline import Deadline

Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True)
class Completed:
    """What a finished remote process left: exit code (negative: killed by that signal), bytes of both streams."""

    returncode: int
    stdout: bytes
    stderr: bytes

    @property
    def ok(self) -> bool:
        """True when the process exited with 0."""
        return self.returncode == 0


class Transport(ABC):
    """A connection to one device. Use as a context manager; `close` is safe to call twice."""

    name: str
    root: str  # absolute folder on the device that is ours: blobs/, runs/, lease

    @abstractmethod
    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        files: Sequence[Path] = (),
        max_output: int = 64 << 20,
    ) -> Completed:
        """Run one program on the device, in its own session, killed there at the deadline or when we go away.

        ``argv`` reaches the program as it is: no shell sees it. A program that can't be found gives exit code 127.
        Its standard input is ``stdin``, then the content of ``files``, one after the other.
        The program and its children have been killed when this returns; when it raises, also KeyboardInterrupt, their
        end is under way.

        Raises LinkLostError when the output ended without its end marker, DeadlineError at the deadline,
        DeviceError when either stream is longer than ``max_output`` bytes, HarnessError for a file that can't be read.
        """

    @abstractmethod
    def push(
        self,
        source: Path,
        remote: str,
        *,
        deadline: Deadline,
        progress: Progress | None = None,
        executable: bool = False,
        sha256: str | None = None,
    ) -> int:
        """Copy a file to the device: temporary name, sha256 checked there, then renamed. Return the bytes sent.

        A push that was cut short is resumed by the next one of the same content to the same name. ``sha256`` saves
        reading the file twice when the caller knows it. The file is readable by its owner only.

        Raises DiskFullError, LinkLostError, DeadlineError; DeviceError when the device can't write there.
        """

    def push_blobs(
        self, files: Mapping[str, tuple[Path, bool]], *, deadline: Deadline, progress: Progress | None = None
    ) -> int:
        """Copy small files, by sha256, to `root`/blobs; whether each is a program. Return the bytes sent.

        Raises what `push` raises.
        """
        sent = 0
        for sha, (path, executable) in files.items():
            to = f"{self.root}/blobs/{sha}"
            sent += self.push(path, to, deadline=deadline, executable=executable, sha256=sha)
            if progress:
                progress(sent, sent)
        return sent

    @abstractmethod
    def missing(self, blobs: Mapping[str, tuple[int, int]], *, deadline: Deadline) -> set[str]:
        """Return which of ``blobs`` (sha256 to size in bytes and file mode) `root`/blobs lacks, in one round trip."""

    @abstractmethod
    def pull(self, remote: str, target: Path, *, deadline: Deadline, max_bytes: int = 1 << 30) -> int:
        """Copy a file from the device to ``target``, atomically. Return its size in bytes.

        Raises DeviceError when there is no such file or it is longer than ``max_bytes``.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
