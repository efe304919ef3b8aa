"""Power and energy: which meters the device has, and what readings mean. A new meter: one class, one line here."""

from __future__ import annotations

from dataclasses import dataclass

from ..deadline import Deadline
from ..printable import printable
from ..records import MeterInfo
from ..transport.base import Transport
from .base import EnergyFigure, Meter, energy_per_inference
from .counters import HwmonEnergyMeter, RaplMeter

METERS: dict[str, type[Meter]] = {"rapl": RaplMeter, "hwmon": HwmonEnergyMeter}

__all__ = ["METERS", "Choice", "EnergyFigure", "Meter", "choose", "energy_per_inference"]

# Lists energy counters, and those that exist but that this user may not read.
SCRIPT = r"""
for d in /sys/class/powercap/*:*; do
  [ -e "$d/energy_uj" ] || continue
  name=; range=; { read -r name < "$d/name"; read -r range < "$d/max_energy_range_uj"; } 2>/dev/null
  if head -c 1 "$d/energy_uj" >/dev/null 2>&1; then printf 'rapl\t%s\t%s\t%s\n' "$d/energy_uj" "$name" "$range"
  else printf 'denied\t%s\n' "$d/energy_uj"; fi
done
for f in /sys/class/hwmon/hwmon*/energy*_input; do
  [ -e "$f" ] || continue
  name=; read -r name < "${f%/*}/name"
  if head -c 1 "$f" >/dev/null 2>&1; then printf 'hwmon\t%s\t%s\t\n' "$f" "$name"
  else printf 'denied\t%s\n' "$f"; fi
done
exit 0
"""


@dataclass(frozen=True)
class Choice:
    """The meter to use, or the reason why there is none."""

    meter: MeterInfo | None = None
    reason: str = ""


def choose(transport: Transport, wanted: tuple[str, ...] = ()) -> Choice:
    """Return the first meter of ``wanted`` that the device has and lets us read, or the reason why none is."""
    done = transport.run(["sh", "-c", SCRIPT], deadline=Deadline.after(30.0), max_output=1 << 20)
    listing = done.stdout.decode("utf-8", "replace").splitlines()
    for name in [name for name in wanted if name in METERS] or METERS:
        for counter in METERS[name]().counters(listing):
            return Choice(counter)
    return Choice(reason=_why_not(listing))


def _why_not(listing: list[str]) -> str:
    denied = [printable(line.split("\t", 1)[1].encode(), 120) for line in listing if line.startswith("denied\t")]
    if denied:
        return f"{denied[0]} exists but may not be read by this user (root only)"
    return "the device offers no energy counter that this version reads (RAPL, hwmon)"
