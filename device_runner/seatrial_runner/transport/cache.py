"""A content-addressed cache on the device: a file that is there already is not sent again.

Policy. A blob gets its name, `<root>/blobs/<sha256>`, only after the device has verified its hash. The first time a
connection asks for a blob, its size is compared and the device hashes it again (flash rots, people edit files); later
in the same connection the size alone is compared. A blob that fails is removed and sent anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..deadline import Deadline
from .base import Progress, Transport

_FILE, _PROGRAM = 0o600, 0o700


def push_cached(
    transport: Transport,
    path: Path,
    sha256: str,
    deadline: Deadline,
    progress: Progress | None = None,
    *,
    executable: bool = False,
) -> tuple[str, int]:
    """Make the file at ``path`` available on the device. Return where it is there, and the bytes that were sent."""
    programs = frozenset({path}) if executable else frozenset[Path]()
    remote, sent = push_all(transport, {path: sha256}, deadline, progress, executables=programs)
    return remote[path], sent


def push_all(
    transport: Transport,
    files: Mapping[Path, str],
    deadline: Deadline,
    progress: Progress | None = None,
    *,
    executables: frozenset[Path] = frozenset(),
) -> tuple[dict[Path, str], int]:
    """Make ``files`` (path to sha256) available on the device; one round trip asks which of them it lacks.

    Return where each is on the device, and the bytes that were sent. Progress counts only what has to be sent.
    """
    wanted = {sha: (path.stat().st_size, _PROGRAM if path in executables else _FILE) for path, sha in files.items()}
    lacking = transport.missing(wanted, deadline=deadline)
    total, sent, done = sum(wanted[sha][0] for sha in lacking), 0, 0
    remote = {path: f"{transport.root}/blobs/{sha}" for path, sha in files.items()}
    for path, sha in files.items():
        if sha not in lacking:
            continue
        lacking.discard(sha)
        part = _shifted(progress, done, total)
        sent += transport.push(
            path, remote[path], deadline=deadline, progress=part, executable=path in executables, sha256=sha
        )
        done += wanted[sha][0]
    return remote, sent


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _all: progress(before + done, total)
