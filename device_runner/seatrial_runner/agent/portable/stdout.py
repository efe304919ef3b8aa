"""The agent's own stdout: kept apart from what libraries print, and watched for its reader's end."""

from __future__ import annotations

import os
import select
import time

_LOOK_NS = 250_000_000


class Stdout:
    """From its making on, stdout is ours alone: whatever the runtime or a provider prints goes to stderr."""

    def __init__(self) -> None:
        self.fd = os.dup(1)
        os.dup2(2, 1)
        self._poll = select.poll()
        self._poll.register(self.fd, 0)
        self._last = 0

    def watch(self) -> None:
        """End the process when whoever started us has gone: a lost link leaves nothing behind."""
        now = time.monotonic_ns()
        if now - self._last < _LOOK_NS:
            return
        self._last = now
        if any(event & (select.POLLERR | select.POLLHUP | select.POLLNVAL) for _, event in self._poll.poll(0)):
            os._exit(141)

    def write(self, data: bytes) -> None:
        """Write all of ``data``; end the process when nobody reads it."""
        while data:
            try:
                data = data[os.write(self.fd, data) :]
            except OSError:
                os._exit(3)
