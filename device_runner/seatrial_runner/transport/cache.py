"""A content-addressed cache on the device: a file that is there already is not sent again.

Policy. A blob gets its name, `<root>/blobs/<sha256>`, only after the device has verified its hash. The first time a
connection asks for a blob, its size is compared and the device hashes it again (flash rots, people edit files); later
in the same connection the size alone is compared. A blob that fails is removed and sent anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from ..deadline import Deadline
from .base import Progress, Transport

_FILE, _PROGRAM = 0o600, 0o700
BATCH_BYTES = 4 << 20  # of small files in one round trip
ASK = 400  # about how many blobs at once: Linux takes no more than 128 KiB in one argument, which a command is


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
    """Make ``files`` (path to sha256) available on the device; one round trip asks which of (400 of) them it lacks.

    Small ones go together, many in one round trip. Return where each is on the device, and the bytes that were sent.
    Progress counts only what has to be sent.
    """
    wanted = {sha: (path.stat().st_size, _PROGRAM if path in executables else _FILE) for path, sha in files.items()}
    lacking = _lacking(transport, wanted, deadline)
    to_send = {sha: path for path, sha in files.items() if sha in lacking}
    total, done = sum(wanted[sha][0] for sha in to_send), 0
    for batch in _batches(to_send, {sha: wanted[sha][0] for sha in to_send}):
        part = _shifted(progress, done, total)
        done += _send(transport, batch, executables, deadline, part)
    return {path: f"{transport.root}/blobs/{sha}" for path, sha in files.items()}, done


def _lacking(transport: Transport, wanted: Mapping[str, tuple[int, int]], deadline: Deadline) -> set[str]:
    names, lacking = list(wanted), set[str]()
    for at in range(0, len(names), ASK):
        lacking |= transport.missing({sha: wanted[sha] for sha in names[at : at + ASK]}, deadline=deadline)
    return lacking


def _send(
    transport: Transport,
    batch: Mapping[str, Path],
    executables: frozenset[Path],
    deadline: Deadline,
    progress: Progress | None,
) -> int:
    if len(batch) > 1:
        files = {sha: (path, path in executables) for sha, path in batch.items()}
        return transport.push_blobs(files, deadline=deadline, progress=progress)
    ((sha, path),) = batch.items()
    to, program = f"{transport.root}/blobs/{sha}", path in executables
    return transport.push(path, to, deadline=deadline, progress=progress, executable=program, sha256=sha)


def _batches(files: Mapping[str, Path], sizes: Mapping[str, int]) -> Iterator[dict[str, Path]]:
    """Yield small files together, large ones alone: those can be resumed, and tell how far they are."""
    batch, size = dict[str, Path](), 0
    for sha, path in sorted(files.items(), key=lambda item: sizes[item[0]]):
        if batch and size + sizes[sha] > BATCH_BYTES:
            yield batch
            batch, size = {}, 0
        batch[sha], size = path, size + sizes[sha]
    if batch:
        yield batch


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    if progress is None:
        return None
    return lambda done, _all: progress(before + done, total)
