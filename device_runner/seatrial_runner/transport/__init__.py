"""The ways to reach a device. A new one is a module here and a line in `TABLE`."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from seatrial_targets.errors import UnknownNameError

from .base import Completed, Progress, Transport
from .cache import push_all, push_cached

if TYPE_CHECKING:
    from seatrial_targets.inventory import Device

TABLE = {
    "local": "seatrial_runner.transport.local:LocalTransport",
    "ssh": "seatrial_runner.transport.ssh:SshTransport",
    "adb": "seatrial_runner.transport.adb:AdbTransport",
    "usbmux": "seatrial_runner.transport.usbmux:UsbmuxTransport",
}


def open_transport(device: Device) -> Transport:
    """Connect to ``device`` and make its folder ready. The transport's module is imported only now.

    Raises UnreachableError (with HostKeyError and AuthenticationError), UnknownNameError, HarnessError.
    """
    if device.transport not in TABLE:
        raise UnknownNameError("transport", device.transport, TABLE)
    module, _, name = TABLE[device.transport].partition(":")
    transport: Transport = getattr(import_module(module), name).from_device(device)
    from .transcript import recorded

    return recorded(transport)


__all__ = ["TABLE", "Completed", "Progress", "Transport", "open_transport", "push_all", "push_cached"]
