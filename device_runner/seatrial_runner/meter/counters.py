"""Cumulative counters that Linux offers as files: RAPL packages, hwmon energy inputs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..records import MeterInfo
from .base import Meter


class RaplMeter(Meter):
    """Intel and AMD running average power limit, package domains (linux/Documentation/power/powercap)."""

    name = "rapl"
    LIST = r"""
for d in /sys/class/powercap/*:*; do
  [ -e "$d/energy_uj" ] || continue
  name=; range=; { read -r name < "$d/name"; read -r range < "$d/max_energy_range_uj"; } 2>/dev/null
  if head -c 1 "$d/energy_uj" >/dev/null 2>&1; then printf 'rapl\t%s\t%s\t%s\n' "$d/energy_uj" "$name" "$range"
  else printf 'denied\t%s\n' "$d/energy_uj"; fi
done
"""

    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """One counter per package; the microjoule counter wraps at max_energy_range_uj."""
        found = []
        for line in lines:
            match = re.fullmatch(r"rapl\t(/sys/class/powercap/[\w:-]+)/energy_uj\t(package-\d+|psys)\t(\d{1,18})", line)
            if match:
                folder, scope, wraps_at = match.groups()
                found.append(_counter(f"rapl:{scope}", f"{folder}/energy_uj", f"CPU {scope}", int(wraps_at)))
        return found


class HwmonEnergyMeter(Meter):
    """hwmon `energyN_input`, cumulative microjoules since boot (linux/Documentation/hwmon/sysfs-interface)."""

    name = "hwmon"
    LIST = r"""
for f in /sys/class/hwmon/hwmon*/energy*_input; do
  [ -e "$f" ] || continue
  name=; read -r name < "${f%/*}/name"
  if head -c 1 "$f" >/dev/null 2>&1; then printf 'hwmon\t%s\t%s\t\n' "$f" "$name"
  else printf 'denied\t%s\n' "$f"; fi
done
"""

    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """One counter per energy input; scope is the chip's name, which says no more than the driver does."""
        found = []
        for line in lines:
            match = re.fullmatch(r"hwmon\t(/sys/class/hwmon/hwmon\d+)/(energy\d+)_input\t([\w .-]{1,40})\t", line)
            if match:
                folder, channel, chip = match.groups()
                found.append(_counter(f"hwmon:{chip}:{channel}", f"{folder}/{channel}_input", f"rail of {chip}"))
        return found


def _counter(id_: str, path: str, scope: str, wraps_at: int | None = None) -> MeterInfo:
    # A job's words have no spaces.
    return MeterInfo(
        id=id_.replace(" ", "_"), kind="counter", scope=scope, path=path, wraps_at=wraps_at, resolution="1 uJ per step"
    )
