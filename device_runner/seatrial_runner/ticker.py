"""Progress of what tells none: a run of minutes on the device, of which one only knows how long it should take."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .plan import Event, OnEvent

LEAST_S = 10.0  # what is over sooner needs no progress of its own


@contextmanager
def ticking(on_event: OnEvent, stage: str, seconds: float, period_s: float = 1.0) -> Iterator[None]:
    """Send an event each ``period_s`` while the block runs, from a thread, when it should take long enough."""
    if seconds < LEAST_S:
        yield
        return
    over, began = threading.Event(), time.monotonic()

    def tick() -> None:
        while not over.wait(period_s):
            on_event(Event(stage, min(int(time.monotonic() - began), int(seconds)), int(seconds), "seconds"))

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
