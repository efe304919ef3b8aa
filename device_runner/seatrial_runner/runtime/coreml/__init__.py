"""Core ML on Apple devices: the contract with the runner there, and the ways to reach it."""

from __future__ import annotations

from seatrial_targets.errors import UserError
from seatrial_targets.inventory import Device

from ...records import DeviceState
from ...transport.base import Transport
from ..base import Equipped, Ground
from . import mac
from .mac_state import read_mac


class CoreML:
    """Runs `.mlpackage` artifacts on Macs."""

    name = "coreml"

    def read_state(self, device: Device, transport: Transport) -> DeviceState:
        """Return the state of the Apple device, which may be attached to the machine that the transport reaches."""
        return read_mac(transport)

    def equip(self, ground: Ground) -> Equipped:
        """Bring runner and bundles. Raises BundleError, DeviceErrors, UserError for a way that leads to no phone."""
        for name, profile in ground.profiles.items():
            reason = profile.mismatch(os="macos", os_version=ground.state.os.removeprefix("macOS "))
            if reason:
                raise UserError(f"{ground.bundles[name].path} does not fit {ground.device.name}: {reason}")
        return mac.equip(ground)
