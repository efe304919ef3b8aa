"""Power and energy: which meters a device has, and what their readings mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from seatrial_targets.inventory import Device

from ..deadline import Deadline
from ..printable import printable
from ..records import MeterInfo
from ..transport.base import Transport
from .base import TABLE, Meter, get_meter, sample_period_ns
from .energy import EnergyFigure, energy_per_inference
from .external import external_info

__all__ = [
    "TABLE",
    "Choice",
    "EnergyFigure",
    "Meter",
    "choose",
    "choose_for",
    "energy_per_inference",
    "get_meter",
    "sample_period_ns",
]


LIST_SECONDS = 90.0  # programs that reach a phone take seconds to start


@dataclass(frozen=True)
class Choice:
    """The meter to use, or the reason why there is none."""

    meter: MeterInfo | None = None
    reason: str = ""


def choose_for(device: Device, transport: Transport, wanted: Sequence[str] = ()) -> Choice:
    """Return the meter beside the device, if its row names one, else what `choose` finds on it."""
    return Choice(external_info(device.meter)) if device.meter else choose(transport, wanted, device.serial or "")


def choose(transport: Transport, wanted: Sequence[str] = (), serial: str = "") -> Choice:
    """Return the first meter of ``wanted`` that the device has and lets us read, or the reason why none is.

    ``serial`` names the phone, where the device is one that hangs on the machine that the transport reaches.
    """
    meters = [meter for meter in map(get_meter, [name for name in wanted if name in TABLE] or TABLE) if meter]
    lines = _listed(transport, meters, serial)
    for meter in meters:
        for found in meter.find([line for line in lines if line.startswith(f"{meter.name}\t")]):
            return Choice(found)
    return Choice(reason=_why_not(lines, [meter.name for meter in meters]))


def _listed(transport: Transport, meters: Sequence[Meter], serial: str) -> list[str]:
    """Let the device list all meters, in one round trip; each in a shell of its own."""
    script = "".join(f"(\n{meter.LIST}\n) </dev/null 2>/dev/null\n" for meter in meters) + "exit 0\n"
    argv = ["sh", "-c", script, "seatrial", serial]
    done = transport.run(argv, deadline=Deadline.after(LIST_SECONDS), max_output=1 << 20)
    return done.stdout.decode("utf-8", "replace").splitlines()


def _why_not(lines: Sequence[str], names: Sequence[str]) -> str:
    refused = [printable(line.split("\t", 1)[1].encode(), 200) for line in lines if line.startswith("refused\t")]
    if refused:
        return refused[0]
    denied = [printable(line.split("\t", 1)[1].encode(), 120) for line in lines if line.startswith("denied\t")]
    if denied:
        return f"{denied[0]} exists but may not be read by this user (root only)"
    return f"the device has no energy meter that this version reads (looked for: {', '.join(names)})"
