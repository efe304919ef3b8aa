"""SIGTERM and a closed terminal unwind like Ctrl-C, so that leases are given back and journals closed."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PATIENCE = 2  # further signals that are taken as impatience, before cleaning up is abandoned
NOTICE = b"\nstopping: giving the device back; press Ctrl-C twice more to leave it as it is\n"


@contextmanager
def unwinding() -> Iterator[list[int]]:
    """Turn the first stopping signal into KeyboardInterrupt; yield the list of the signals that came.

    The next ones are swallowed, so that they can't break the cleaning up (`timeout` sends its signal twice). Does
    nothing outside the main thread, where Python allows no handlers.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1 or len(came) > 1 + PATIENCE:
            raise KeyboardInterrupt
        if len(came) == 2 and os.isatty(2):
            os.write(2, NOTICE)

    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, old in before.items():
        if old is not signal.SIG_IGN:  # nohup, or a shell's background job: the caller wants it ignored
            signal.signal(number, handle)
    try:
        yield came
    finally:
        for number, old in before.items():
            signal.signal(number, old if old is not None else signal.SIG_DFL)
