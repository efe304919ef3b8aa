"""Bring files to a device for a session: by content, under the lease, with progress."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from . import lease as leases
from .deadline import Deadline
from .plan import Event, OnEvent
from .transport import push_all
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
        return self.push_all({path: sha256}, executables=frozenset({path}) if executable else frozenset())[path]

    def push_all(self, files: Mapping[Path, str], *, executables: frozenset[Path] = frozenset()) -> dict[Path, str]:
        """Bring files (path to sha256) there, in as few round trips as may be. Return their paths as `push` does."""
        size = sum(path.stat().st_size for path in files)
        self.hold(leases.ROUND_TRIP_SECONDS + size / SLOW_LINK_BYTES_PER_S)
        stage = f"pushing {next(iter(files)).name}" if len(files) == 1 else f"pushing {len(files)} files"

        def progress(done: int, total: int) -> None:
            self.on_event(Event(stage, done, total, "bytes"))

        remote, sent = push_all(self.transport, files, Deadline.after(PUSH_SECONDS), progress, executables=executables)
        self.sent += sent
        return {path: UP + posixpath.relpath(there, self.transport.root) for path, there in remote.items()}

    def hold(self, seconds: float) -> None:
        """Keep the lease for as long as a slow link, or work on the device, needs: nobody may measure meanwhile."""
        if self.held_until < time.monotonic() + seconds:
            leases.renew(self.transport, self.lease, int(seconds) + leases.LEASE_SECONDS)
            self.held_until = time.monotonic() + seconds
