"""This machine as a device: the same scripts, with pipes for a wire."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

from ..deadline import Deadline
from . import pipes
from .remote import ShellTransport
from .shell import MarkedStream

if TYPE_CHECKING:
    from seatrial_targets.inventory import Device

SETUP_S = 30.0


class LocalTransport(ShellTransport):
    """Runs programs here. A session of their own and the end of their input end them with us, even by SIGKILL."""

    @classmethod
    def from_device(cls, device: Device) -> Self:
        """Return a transport whose folder is `device.root`, by default in the user's cache."""
        self = cls(device.name)
        self._prepare_root(device.root or str(cache_folder() / "seatrial" / "device"), Deadline.after(SETUP_S))
        return self

    def _exchange(
        self,
        command: str,
        feed: Iterator[bytes],
        streams: tuple[MarkedStream, MarkedStream],
        deadline: Deadline,
        *,
        hold: bool,
    ) -> str:
        argv = ["/bin/sh", "-c", command]
        return pipes.exchange(argv, feed, streams, deadline, hold=hold, doing=f"a program on {self.name}")

    def close(self) -> None:
        """Nothing to release."""


def cache_folder() -> Path:
    """Return the user's cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
