"""Rows of an inventory for the peers."""

from __future__ import annotations

from peers.sshd import Sshd
from seatrial_runner.transport.ssh import fetch_host_key, trust
from seatrial_targets.inventory import Device


def ssh_device(server: Sshd, **changes: object) -> Device:
    """Return the device for a loopback sshd, its key not trusted yet."""
    row = {"name": "board", "target": "x86-64-cpu-fp32", "transport": "ssh", "address": "127.0.0.1"}
    return Device.model_validate({**row, "port": server.port, "key": str(server.key), **changes})


def trusted(device: Device) -> Device:
    """Trust the key that the device shows."""
    trust(device, fetch_host_key(device))
    return device
