"""Talk to a local child process over its three pipes, in one thread, until its streams are marked."""

from __future__ import annotations

import os
import selectors
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, cast

from seatrial_targets.errors import HarnessError

from ..deadline import Deadline
from .shell import MarkedStream

_READ_BYTES = 1 << 18
_ENDS_S = 5.0


def exchange(
    argv: Sequence[str],
    feed: Iterator[bytes],
    streams: tuple[MarkedStream, MarkedStream],
    deadline: Deadline,
    *,
    hold: bool,
    doing: str,
    environment: Mapping[str, str] | None = None,
) -> str:
    """Run ``argv``, send it ``feed``, pass its streams on until both are marked or closed; then end it.

    The end of its input is what makes the script at the other end kill its program, so that comes before anything
    rougher. Returns what is to say about its end. Raises DeadlineError, HarnessError when it can't be started.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us to handle; the script's `kill 0` is for it alone
            env=environment,
        )
    except OSError as error:
        raise HarnessError(f"{argv[0]} can't be started: {error.strerror or error}") from error
    try:
        _pump(process, feed, streams, deadline, hold, doing)
    finally:
        _end(process)
    return f"{os.path.basename(argv[0])} ended with {process.returncode}"


def _pump(
    process: subprocess.Popen[bytes],
    feed: Iterator[bytes],
    streams: tuple[MarkedStream, MarkedStream],
    deadline: Deadline,
    hold: bool,
    doing: str,
) -> None:
    stdin, stdout, stderr = (cast(IO[bytes], pipe) for pipe in (process.stdin, process.stdout, process.stderr))
    with selectors.DefaultSelector() as waiting:
        waiting.register(stdout, selectors.EVENT_READ, streams[0])
        waiting.register(stderr, selectors.EVENT_READ, streams[1])
        os.set_blocking(stdin.fileno(), False)
        waiting.register(stdin, selectors.EVENT_WRITE)
        sender = _Sender(stdin, feed, hold)
        while any(stream.code is None for stream in streams) and _readers(waiting):
            for key, _ in waiting.select(deadline.check(doing)):
                if key.data is None:
                    if not sender.send():
                        waiting.unregister(key.fileobj)
                elif data := os.read(key.fd, _READ_BYTES):
                    key.data.feed(data)
                else:
                    waiting.unregister(key.fileobj)


def _readers(waiting: selectors.BaseSelector) -> bool:
    return any(key.data is not None for key in waiting.get_map().values())


class _Sender:
    """Sends chunks to a pipe that doesn't block."""

    def __init__(self, pipe: IO[bytes], feed: Iterator[bytes], hold: bool) -> None:
        self._pipe, self._feed, self._hold = pipe, feed, hold
        self._chunk = memoryview(b"")

    def send(self) -> bool:
        """Send what the pipe takes now. Return False when nothing is left to send or nobody reads any more."""
        if not self._chunk:
            self._chunk = memoryview(next(self._feed, b""))
            if not self._chunk:
                if not self._hold:
                    self._pipe.close()
                return False
        try:
            self._chunk = self._chunk[os.write(self._pipe.fileno(), self._chunk) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            return False  # how it ended is told by the streams
        return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child: first its input, then, if that doesn't help, its whole group."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            pipe.close()
    try:
        process.wait(_ENDS_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
