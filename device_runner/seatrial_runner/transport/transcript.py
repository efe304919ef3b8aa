"""What was said to a device and what it answered, kept in a file: a real board's behaviour, to be replayed in tests.

A transcript is JSON lines: a head, then one entry per call in order. What is random or personal is replaced before it
is written: our tokens and hashes by numbered marks, what the device has of such (boot id, the GPU's own number) by
other digits, our folder, user and host by names. Files that were pushed are told by their size. Look through it all the
same before you give it away.

On replay the same calls are expected in the same order, with the same arguments; the text of our own scripts may have
changed since. Marks are filled with the present tokens, so that answers fit to the questions.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from seatrial_targets.errors import HarnessError, UserError

from ..deadline import Deadline
from ..lease import holder, identity
from .base import Completed, Progress, Transport

SCHEMA = "seatrial.transcript/1"
# UUIDs (boot id, GPU), run ids, tokens, hashes; not the digits of a long number.
_RANDOM = re.compile(
    r"(?<![\w.])(?=[\w-]*[a-f])"
    r"(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{14,16}-[0-9a-f]{6}|[0-9a-f]{16,64})(?!\w)"
)
_MARK = re.compile(r"<#(\d+)>")
_active: ContextVar[Recorder | None] = ContextVar("recorder", default=None)


class Masks:
    """Replaces what is random or personal by marks, the same by the same; and fills marks in again."""

    def __init__(self, root: str) -> None:
        self._names = {root: "<root>", identity(): "<identity>", holder(): "<holder>"}
        self._numbers: dict[str, int] = {}

    def mask(self, text: str) -> str:
        """Return what we said with marks: what is random in it is ours, and gets a number."""
        return _RANDOM.sub(
            lambda found: f"<#{self._numbers.setdefault(found[0], len(self._numbers))}>", self._named(text)
        )

    def hide(self, text: str) -> str:
        """Return what the device said: with marks where it repeats us, and other digits for what is its own."""

        def other(found: re.Match[str]) -> str:
            number = self._numbers.get(found[0])
            return _other_digits(found[0]) if number is None else f"<#{number}>"

        return _RANDOM.sub(other, self._named(text))

    def _named(self, text: str) -> str:
        for name, mark in self._names.items():
            text = text.replace(name, mark) if len(name) > 1 else text
        return text

    def fill(self, text: str) -> str:
        """Return ``text`` with what the marks stand for here; one that stands for nothing becomes zeros."""
        known = {number: word for word, number in self._numbers.items()}
        for name, mark in self._names.items():
            text = text.replace(mark, name)
        return _MARK.sub(lambda found: known.get(int(found[1]), "0" * 32), text)


class Recorder:
    """Writes entries, each as soon as it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: IO[str] | None = None

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one entry. Raises HarnessError when it can't be written."""
        try:
            if self._file is None:
                self._file = self.path.open("w", encoding="utf-8")
            self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
            self._file.flush()
        except OSError as error:
            raise HarnessError(f"{self.path}: can't be written: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


@contextlib.contextmanager
def recording(path: Path | None) -> Iterator[None]:
    """Keep a transcript at ``path`` of what happens on devices meanwhile; None: keep none."""
    if path is None:
        yield
        return
    recorder = Recorder(path)
    token = _active.set(recorder)
    try:
        yield
    finally:
        _active.reset(token)
        recorder.close()


def recorded(transport: Transport) -> Transport:
    """Return ``transport``, with an ear at it while `recording` is on."""
    recorder = _active.get()
    return transport if recorder is None else Recording(transport, recorder)


class Recording(Transport):
    """A transport whose calls and answers are written down."""

    def __init__(self, inner: Transport, recorder: Recorder) -> None:
        self.inner, self._recorder = inner, recorder
        self.name, self.root = inner.name, inner.root
        self._masks = Masks(inner.root)
        recorder.write({"schema": SCHEMA})

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        stdin: bytes = b"",
        files: Sequence[Path] = (),
        max_output: int = 64 << 20,
    ) -> Completed:
        """See `Transport.run`. Of files that were sent only the sizes are kept."""
        said: dict[str, Any] = {
            "argv": [self._masks.mask(word) for word in argv],
            "stdin": self._text(stdin, ours=True),
        }
        if files:
            said["files"] = [path.stat().st_size for path in files]
        done = self.inner.run(argv, deadline=deadline, stdin=stdin, files=files, max_output=max_output)
        heard = {"code": done.returncode, "stdout": self._text(done.stdout), "stderr": self._text(done.stderr)}
        self._recorder.write({"call": "run", **said, **heard})
        return done

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
        sent = self.inner.push(
            source, remote, deadline=deadline, progress=progress, executable=executable, sha256=sha256
        )
        size = source.stat().st_size
        self._recorder.write({"call": "push", "to": self._masks.mask(remote), "size": size, "sent": sent})
        return sent

    def missing(self, blobs: Mapping[str, tuple[int, int]], *, deadline: Deadline) -> set[str]:
        """See `Transport.missing`."""
        asked = [self._masks.mask(sha) for sha in blobs]
        lacking = self.inner.missing(blobs, deadline=deadline)
        self._recorder.write({"call": "missing", "of": asked, "lacking": sorted(map(self._masks.mask, lacking))})
        return lacking

    def pull(self, remote: str, target: Path, *, deadline: Deadline, max_bytes: int = 1 << 30) -> int:
        """See `Transport.pull`."""
        size = self.inner.pull(remote, target, deadline=deadline, max_bytes=max_bytes)
        data = self._text(target.read_bytes())
        self._recorder.write({"call": "pull", "from": self._masks.mask(remote), "data": data})
        return size

    def close(self) -> None:
        """Close the transport."""
        self.inner.close()

    def _text(self, data: bytes, *, ours: bool = False) -> str | dict[str, str]:
        masked = self._masks.mask if ours else self._masks.hide
        try:
            return masked(data.decode("utf-8"))
        except UnicodeDecodeError as error:  # lines of text, and then what is none
            at = data.rfind(b"\n", 0, error.start) + 1
            return {"text": masked(data[:at].decode("utf-8")), "base64": base64.b64encode(data[at:]).decode()}


class Replay(Transport):
    """A device that answers as a transcript has it. For tests: it says so in its name."""

    def __init__(self, path: Path) -> None:
        """Raises UserError when ``path`` holds no transcript."""
        self.name, self.root, self.path = f"replay of {path.name}", "/replayed", path
        self._entries = read_transcript(path)
        self._at = 0
        self._masks = Masks(self.root)

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
        masked = [self._masks.mask(word) for word in argv]
        with contextlib.suppress(UnicodeDecodeError):
            self._masks.mask(stdin.decode("utf-8"))  # its tokens count as well
        entry = self._next("run")
        now, then = _arguments(masked), _arguments(entry["argv"])
        if now != then:
            raise HarnessError(f"{self.path}, entry {self._at}: the call is {now}, recorded was {then}")
        return Completed(int(entry["code"]), self._bytes(entry["stdout"]), self._bytes(entry["stderr"]))

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
        """See `Transport.push`: nothing goes anywhere."""
        self._masks.mask(remote)
        return int(self._next("push")["sent"])

    def missing(self, blobs: Mapping[str, tuple[int, int]], *, deadline: Deadline) -> set[str]:
        """See `Transport.missing`."""
        for sha in blobs:
            self._masks.mask(sha)
        lacking = {self._masks.fill(mark) for mark in self._next("missing")["lacking"]}
        return lacking & set(blobs)

    def pull(self, remote: str, target: Path, *, deadline: Deadline, max_bytes: int = 1 << 30) -> int:
        """See `Transport.pull`."""
        self._masks.mask(remote)
        data = self._bytes(self._next("pull")["data"])
        target.write_bytes(data)
        return len(data)

    def close(self) -> None:
        """Nothing to release."""

    def _next(self, call: str) -> Mapping[str, Any]:
        if self._at >= len(self._entries) or self._entries[self._at]["call"] != call:
            recorded = self._entries[self._at]["call"] if self._at < len(self._entries) else "nothing more"
            raise HarnessError(f"{self.path}, entry {self._at + 1}: the call is a {call}, recorded was {recorded}")
        self._at += 1
        return self._entries[self._at - 1]

    def _bytes(self, data: str | Mapping[str, str]) -> bytes:
        if isinstance(data, str):
            return self._masks.fill(data).encode()
        return self._masks.fill(data.get("text", "")).encode() + base64.b64decode(data["base64"])


def read_transcript(path: Path) -> list[dict[str, Any]]:
    """Return the entries of a transcript. Raises UserError when it is none, or damaged."""
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: is no transcript that can be read ({error})") from error
    heads = [line for line in lines if isinstance(line, dict) and line.get("schema") == SCHEMA]
    entries = [line for line in lines if isinstance(line, dict) and "call" in line]
    if not heads or len(heads) + len(entries) != len(lines):
        raise UserError(f"{path}: is no transcript ({SCHEMA})")
    return entries


def _other_digits(word: str) -> str:
    """Return a word of the same form that tells nothing of the first."""
    digits = iter(hashlib.sha256(word.encode()).hexdigest())
    return "".join(char if char == "-" else next(digits) for char in word)


def _arguments(argv: Sequence[str]) -> list[str]:
    """The words of a call without the text of our own script: what it is about."""
    return [*argv[:2], *argv[3:]] if list(argv[:2]) == ["sh", "-c"] else list(argv)
