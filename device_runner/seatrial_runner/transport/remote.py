"""The four verbs over any wire that can start a POSIX shell on the device and carry three byte streams."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import tempfile
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

from seatrial_targets.errors import DeviceError, DiskFullError, HarnessError, LinkLostError

from ..deadline import Deadline
from . import shell
from .base import Completed, Progress, Transport

CHUNK_BYTES = 1 << 18
_GRACE_S = 3  # the device's own deadline is later than ours, so that ours is the one that is reported
_SMALL_OUTPUT = 1 << 20


class ShellTransport(Transport):
    """A transport whose wire is `_exchange`: run a shell command there, feed it, collect its streams."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.root = ""
        self._verified: set[str] = set()  # blobs that the device has hashed for this connection
        self._untouched: set[str] = set()  # files of which it has just said that no broken push left anything

    @abstractmethod
    def _exchange(
        self,
        command: str,
        feed: Iterator[bytes],
        streams: tuple[shell.MarkedStream, shell.MarkedStream],
        deadline: Deadline,
        *,
        hold: bool,
    ) -> str:
        """Run ``command``, send it ``feed``, pass stdout and stderr to ``streams`` until both are marked or ended.

        With ``hold`` the input stays open after ``feed`` until the end; closing it kills the program. Returns what
        the wire itself has to say about its end (for an error message). Raises DeadlineError, LinkLostError.
        """

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        files: Sequence[Path] = (),
        max_output: int = 64 << 20,
    ) -> Completed:
        """See `Transport.run`."""
        out = shell.Bounded(max_output, lambda: self._too_long(argv, max_output))
        err = shell.Bounded(max_output, lambda: self._too_long(argv, max_output))
        code = self._marked_run(argv, Input(stdin, files), out, err, deadline)
        return Completed(shell.exit_code(code), out.value(), err.value())

    def _marked_run(
        self, argv: Sequence[str], stdin: Input, out: shell.Bounded, err: shell.Bounded, deadline: Deadline
    ) -> int:
        doing = f"{shell.quoted(argv)} on {self.name}"
        deadline.check(doing)
        _reject_nul(argv)
        token = shell.new_token()
        line = shell.command(shell.RUN, token, _device_seconds(deadline), str(stdin.length), *argv)
        streams = shell.MarkedStream(token, out.write), shell.MarkedStream(token, err.write)
        words = self._exchange(line, stdin.chunks(), streams, deadline, hold=True)
        return self._code(streams, doing, words)

    def _code(self, streams: tuple[shell.MarkedStream, shell.MarkedStream], doing: str, words: str) -> int:
        codes = streams[0].code, streams[1].code
        if codes[0] is None or codes[1] is None:
            heard = shell.last_words(streams[0].rest() + streams[1].rest())
            said = "; ".join(part for part in (words, heard and f"it printed: {heard}") if part)
            raise LinkLostError(
                f"{doing}: the connection ended before the program did{said and f' ({said})'}; "
                f"check the device with 'seatrial devices check {self.name}', then try again"
            )
        return codes[1]

    def _too_long(self, argv: Sequence[str], limit_bytes: int) -> NoReturn:
        raise DeviceError(f"{shell.quoted(argv)} on {self.name}: printed more than {limit_bytes} bytes; it was stopped")

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
        """See `Transport.push`."""
        mode = "700" if executable else "600"
        try:
            return self._push(source, remote, sha256 or _sha256(source), mode, deadline, progress)
        except OSError as error:
            raise HarnessError(f"{source}: can't be read: {error.strerror or error}") from error

    def _push(
        self, source: Path, remote: str, digest: str, mode: str, deadline: Deadline, progress: Progress | None
    ) -> int:
        part = f"{remote}.{digest[:16]}.part"
        fresh = remote in self._untouched
        self._untouched.discard(remote)  # whatever becomes of this push, the next one has to look
        upload = Upload(source, 0 if fresh else self._resumable(source, part, deadline), progress)
        code, said = self._store(upload, (part, remote, digest, mode), deadline)
        if code == shell.BUSY:  # somebody else is sending the same file just now
            upload = Upload(source, 0, progress)
            code, said = self._store(upload, (f"{part}.{shell.new_token()}", remote, digest, mode), deadline)
        if code != shell.STORED:
            self._not_stored(code, said, source, remote)
        return upload.sent

    def _resumable(self, source: Path, part: str, deadline: Deadline) -> int:
        """Return how many bytes of ``source`` the device already holds, verified on both sides by sha256."""
        found = self._script(shell.PROBE, part, deadline=deadline)
        if not found.ok:
            self._refused(found, f"can't write beside {shell.clean(part)}")
        size, _, digest = found.stdout.decode("ascii", "replace").strip().partition(" ")
        held = int(size) if size.isdigit() else 0
        if not 0 < held <= source.stat().st_size or _sha256(source, held) != digest:
            return 0
        return held

    def _store(self, upload: Upload, names: tuple[str, str, str, str], deadline: Deadline) -> tuple[int, bytes]:
        part, remote, digest, mode = names
        doing = f"push of {upload.source.name} to {self.name}"
        deadline.check(doing)
        err = shell.Bounded(_SMALL_OUTPUT, lambda: self._too_long(["cat"], _SMALL_OUTPUT))
        token = shell.new_token()
        numbers = str(upload.offset), str(upload.total)
        line = shell.command(shell.STORE, token, _device_seconds(deadline), part, remote, *numbers, digest, mode)
        streams = shell.MarkedStream(token, lambda data: None), shell.MarkedStream(token, err.write)
        words = self._exchange(line, upload.chunks(), streams, deadline, hold=False)
        return self._code(streams, doing, words), err.value()

    def _not_stored(self, code: int, said: bytes, source: Path, remote: str) -> NoReturn:
        heard = shell.last_words(said)
        where = f"{shell.clean(remote)} on {self.name}"
        if b"No space left" in said or b"quota exceeded" in said:
            raise DiskFullError(
                f"{where}: no space left for the {source.stat().st_size} bytes of {source.name}; free some there, "
                f"or set another 'root' for the device"
            )
        if code == shell.CORRUPT:
            raise DeviceError(
                f"{where}: the bytes that arrived are not those of {source} (sha256 differs); if the file did not "
                f"change meanwhile, test the device's storage"
            )
        if code == shell.CUT_SHORT:
            raise LinkLostError(f"{where}: the connection ended in the middle of the push; try again to resume it")
        raise DeviceError(f"{where}: could not be written: {heard or 'no reason given'}")

    def pull(self, remote: str, target: Path, *, deadline: Deadline, max_bytes: int = 1 << 30) -> int:
        """See `Transport.pull`."""
        try:
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            try:
                with os.fdopen(handle, "wb") as file:
                    size = self._pull_into(file, remote, max_bytes, deadline)
                os.replace(temporary, target)
            finally:
                Path(temporary).unlink(missing_ok=True)
        except OSError as error:
            raise HarnessError(f"{target}: can't be written here: {error.strerror or error}") from error
        return size

    def _pull_into(self, file: BinaryIO, remote: str, max_bytes: int, deadline: Deadline) -> int:
        argv = ["sh", "-c", shell.READ, "seatrial", remote]
        out = shell.Bounded(max_bytes, lambda: self._too_long(["cat", remote], max_bytes), file)
        err = shell.Bounded(_SMALL_OUTPUT, lambda: self._too_long(["cat", remote], _SMALL_OUTPUT))
        if self._marked_run(argv, Input(), out, err, deadline):
            raise DeviceError(
                f"{shell.clean(remote)} on {self.name}: {shell.last_words(err.value()) or 'could not be read'}"
            )
        return out.size

    def push_blobs(
        self, files: Mapping[str, tuple[Path, bool]], *, deadline: Deadline, progress: Progress | None = None
    ) -> int:
        """See `Transport.push_blobs`: in one round trip, where the device has a tar."""
        data = _tar(files)
        words = shell.new_token(), str(len(files))
        argv = ["sh", "-c", shell.STORE_MANY, "seatrial", f"{self.root}/blobs", *words]
        done = self.run(argv, deadline=deadline, stdin=data, max_output=_SMALL_OUTPUT)
        if done.returncode == 127:  # there is no tar
            return super().push_blobs(files, deadline=deadline, progress=progress)
        size = sum(path.stat().st_size for path, _ in files.values())
        if not done.ok:
            self._not_stored(done.returncode, done.stderr, next(iter(files.values()))[0], f"{self.root}/blobs")
        if progress:
            progress(size, size)
        return size

    def missing(self, blobs: Mapping[str, tuple[int, int]], *, deadline: Deadline) -> set[str]:
        """See `Transport.missing`. The policy is stated in cache.py."""
        words = [word for sha, (size, mode) in blobs.items() for word in (sha, str(size), f"{mode:o}")]
        verify = " ".join(sha for sha in blobs if sha not in self._verified)
        checked = self._script(shell.CHECK, f"{self.root}/blobs", verify, *words, deadline=deadline)
        states = checked.stdout.decode("ascii", "replace").split()
        if not checked.ok or len(states) != len(blobs):
            self._refused(checked, f"can't use the cache in {self.root}/blobs")
        self._verified |= set(blobs)  # what is lacking is verified when it is pushed
        named = {f"{self.root}/blobs/{sha}": state for sha, state in zip(blobs, states, strict=True)}
        self._untouched -= set(named)
        self._untouched |= {name for name, state in named.items() if state == "need"}
        return {sha for sha, state in zip(blobs, states, strict=True) if state != "have"}

    def _prepare_root(self, wanted: str, deadline: Deadline) -> None:
        """Make our folder on the device, for our user alone, and resolve its name."""
        made = self._script(shell.ROOT, wanted, deadline=deadline)
        if not made.ok:
            self._refused(made, f"can't use the folder {shell.clean(wanted)}")
        self.root = made.stdout.decode("utf-8", "surrogateescape")

    def _script(self, script: str, *arguments: str, deadline: Deadline) -> Completed:
        argv = ["sh", "-c", script, "seatrial", *arguments]
        return self.run(argv, deadline=deadline, max_output=_SMALL_OUTPUT)

    def _refused(self, done: Completed, what: str) -> NoReturn:
        heard = shell.last_words(done.stderr) or f"exit code {done.returncode}"
        if "No space left" in heard or "quota exceeded" in heard:
            raise DiskFullError(f"{self.name}: {what}: {heard}; free some space there")
        raise DeviceError(f"{self.name}: {what}: {heard}; set another 'root' for the device in devices.yaml")


class Input:
    """What a program gets by its standard input: bytes, then files. Raises HarnessError for one that can't be read."""

    def __init__(self, data: bytes = b"", files: Sequence[Path] = ()) -> None:
        self._data = data
        try:
            self._files = [(path, path.stat().st_size) for path in files]
        except OSError as error:
            raise _unreadable(error) from error
        self.length = len(data) + sum(size for _, size in self._files)

    def chunks(self) -> Iterator[bytes]:
        """Yield all of it."""
        yield from _chunks(self._data)
        for path, size in self._files:
            try:
                sent = 0
                for data in Upload(path, 0, None).chunks():
                    sent += len(data)
                    yield data
            except OSError as error:
                raise _unreadable(error) from error
            if sent != size:  # the device would wait for the rest
                raise HarnessError(f"{path}: changed while it was sent; try again")


class Upload:
    """The part of a file that still has to be sent, in chunks, and how much of it was."""

    def __init__(self, source: Path, offset: int, progress: Progress | None) -> None:
        self.source, self.offset = source, offset
        self.total = source.stat().st_size
        self.sent = 0
        self._progress = progress

    def skip_to_end(self) -> None:
        """Note that all of it was sent by other means."""
        self.offset, self.sent = self.total, self.total
        if self._progress:
            self._progress(self.total, self.total)

    def chunks(self) -> Iterator[bytes]:
        """Yield the rest of the file, reporting progress when the next chunk is asked for."""
        with self.source.open("rb") as file:
            file.seek(self.offset)
            while data := file.read(min(CHUNK_BYTES, self.total - file.tell())):
                yield data
                self.sent += len(data)
                if self._progress:
                    self._progress(self.offset + self.sent, self.total)


def _tar(files: Mapping[str, tuple[Path, bool]]) -> bytes:
    """Return a tar of files, named by their sha256. Raises HarnessError when one can't be read."""
    made = io.BytesIO()
    try:
        with tarfile.open(fileobj=made, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for sha, (path, executable) in files.items():
                data = path.read_bytes()
                entry = tarfile.TarInfo(sha)
                entry.size, entry.mode = len(data), 0o700 if executable else 0o600
                tar.addfile(entry, io.BytesIO(data))
    except OSError as error:
        raise _unreadable(error) from error
    return made.getvalue()


def _unreadable(error: OSError) -> HarnessError:
    return HarnessError(f"{error.filename}: can't be read: {error.strerror or error}")


def _chunks(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), CHUNK_BYTES):
        yield data[at : at + CHUNK_BYTES]


def _sha256(path: Path, length: int | None = None) -> str:
    """Return the hex sha256 of the first ``length`` bytes of a file, or of all."""
    digest, left = hashlib.sha256(), path.stat().st_size if length is None else length
    with path.open("rb") as file:
        while left > 0 and (data := file.read(min(CHUNK_BYTES, left))):
            digest.update(data)
            left -= len(data)
    return digest.hexdigest()


def _device_seconds(deadline: Deadline) -> str:
    return str(int(deadline.left()) + _GRACE_S)


def _reject_nul(argv: Sequence[str]) -> None:
    if not argv or any("\0" in word for word in argv):
        raise HarnessError("a program to run needs at least one word, and no word may hold a NUL character")
