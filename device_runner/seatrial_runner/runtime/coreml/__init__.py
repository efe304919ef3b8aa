"""Core ML on Apple devices: the contract with the runner there, and the ways to reach it.

A Mac runs the runner itself (transports ssh and local). A phone hangs on a Mac (ssh or local, and a `serial:`; the
program devicectl) or on this machine (transport usbmux; the program pymobiledevice3).
"""

from __future__ import annotations

from seatrial_targets.errors import UserError
from seatrial_targets.inventory import Device

from ...condition.finding import Finding
from ...records import DeviceState
from ...transport.base import Transport
from ..base import Equipped, Ground
from . import mac, phone, phone_doctor
from .mac_state import read_mac
from .phone_state import read_phone


class CoreML:
    """Runs `.mlpackage` artifacts on Macs, iPhones and iPads."""

    name = "coreml"

    def read_state(self, device: Device, transport: Transport, *, brief: bool = False) -> DeviceState:
        """Return the state of the Apple device, which may be attached to the machine that the transport reaches."""
        return read_phone(device, transport) if device.serial else read_mac(transport)

    def examine(self, device: Device, transport: Transport, state: DeviceState | None) -> tuple[Finding, ...] | None:
        """Return the steps that a phone needs once, or whether a Mac has a compiler."""
        return phone_doctor.walk(device, transport) if device.serial else mac.examine(transport)

    def equip(self, ground: Ground) -> Equipped:
        """Bring runner and bundles. Raises BundleError, DeviceErrors, UserError for a way that leads to no phone."""
        system, _, version = ground.state.os.partition(" ")
        for name, profile in ground.profiles.items():
            reason = profile.mismatch(os=system, os_version=version)
            if reason:
                raise UserError(f"{ground.bundles[name].path} does not fit {ground.device.name}: {reason}")
        return phone.equip(ground) if ground.device.serial else mac.equip(ground)
