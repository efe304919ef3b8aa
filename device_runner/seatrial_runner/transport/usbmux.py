"""A phone that hangs on this machine by USB: what reaches it runs here, so the folder and the lease are here, too.

Files and starts go through the program `pymobiledevice3` (see `runtime.coreml.links`); each phone has a folder of its
own, so that two phones can be measured at once and one never by two runners.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from ..deadline import Deadline
from .local import SETUP_S, LocalTransport, cache_folder

if TYPE_CHECKING:
    from seatrial_targets.inventory import Device


class UsbmuxTransport(LocalTransport):
    """This machine, on behalf of one phone."""

    @classmethod
    def from_device(cls, device: Device) -> Self:
        """Return a transport whose folder is `device.root`, by default one for the phone in the user's cache."""
        self = cls(device.name)
        default = cache_folder() / "seatrial" / "phones" / str(device.serial)
        self._prepare_root(device.root or str(default), Deadline.after(SETUP_S))
        return self
