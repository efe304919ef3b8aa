"""Ctrl-C in training: the step that runs is finished, a checkpoint written, and only then does the program stop."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A stopping signal that came and waits. ``deliver`` gives it to the handler that was there before."""

    def __init__(self) -> None:
        self._waiting: Callable[[], Any] | None = None

    @property
    def wanted(self) -> bool:
        """True when the user has asked to stop."""
        return self._waiting is not None

    def deliver(self) -> None:
        """Raise what the signal would have raised (KeyboardInterrupt as a rule), if one waits."""
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            waiting()
            raise KeyboardInterrupt  # a handler that returned: training stops all the same

    def take(self, handler: Any, number: int, frame: FrameType | None) -> None:
        """Keep a first signal for later; hand a second one on at once, since the user does not want to wait."""
        if self._waiting is not None:
            self._waiting = None
            _call(handler, number, frame)
            return
        self._waiting = lambda: _call(handler, number, frame)


@contextmanager
def deferred() -> Iterator[Interruption]:
    """Hold back SIGINT and SIGTERM while the block runs; nothing outside the main thread, where Python allows no
    handlers. A signal that still waits when the block ends well is delivered then."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number, old in before.items():
        if old not in (signal.SIG_IGN, None):
            signal.signal(number, functools.partial(interruption.take, old))
    try:
        yield interruption
    finally:
        for number, old in before.items():
            if old is not None:
                signal.signal(number, old)
    interruption.deliver()


def _call(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        raise SystemExit(128 + number)
