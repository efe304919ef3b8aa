"""Bring files to a device for a session: by content, under the lease, with progress."""

from __future__ import annotations

import posixpath
import time
from dataclasses import dataclass
from pathlib import Path

from . import lease as leases
from .deadline import Deadline
from .plan import Event, OnEvent
from .transport import push_cached
from .transport.base import Transport

PUSH_SECONDS = 1800.0
SLOW_LINK_BYTES_PER_S = 250_000
UP = "../../"  # from a run's folder to the root


@dataclass
class Pusher:
    """Pushes files by content; a file that the device already has costs no bytes. Returns paths as a run sees them."""

    transport: Transport
    lease: leases.Lease
    on_event: OnEvent
    sent: int = 0
    held_until: float = 0.0  # in monotonic time

    def push(self, path: Path, sha256: str, *, executable: bool = False) -> str:
        """Bring one file there and return its path, relative to a run's folder. Raises what the transport raises."""
        self.hold(leases.ROUND_TRIP_SECONDS + path.stat().st_size / SLOW_LINK_BYTES_PER_S)

        def progress(done: int, total: int) -> None:
            self.on_event(Event(f"pushing {path.name}", done, total, "bytes"))

        remote, sent = push_cached(
            self.transport,
            path,
            sha256,
            deadline=Deadline.after(PUSH_SECONDS),
            progress=progress,
            executable=executable,
        )
        self.sent += sent
        return UP + posixpath.relpath(remote, self.transport.root)

    def hold(self, seconds: float) -> None:
        """Keep the lease for as long as a slow link, or work on the device, needs: nobody may measure meanwhile."""
        if self.held_until < time.monotonic() + seconds:
            leases.renew(self.transport, self.lease, int(seconds) + leases.LEASE_SECONDS)
            self.held_until = time.monotonic() + seconds
