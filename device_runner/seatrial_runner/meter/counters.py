"""Cumulative counters that Linux offers as files: RAPL packages, hwmon energy inputs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..records import MeterInfo


class RaplMeter:
    """Intel and AMD running average power limit, package domains (linux/Documentation/power/powercap)."""

    name = "rapl"

    def counters(self, listing: Sequence[str]) -> tuple[MeterInfo, ...]:
        """One counter per package; the microjoule counter wraps at max_energy_range_uj."""
        found = []
        for line in listing:
            match = re.fullmatch(r"rapl\t(/sys/class/powercap/[\w:-]+)/energy_uj\t(package-\d+|psys)\t(\d{1,18})", line)
            if match:
                folder, scope, wraps_at = match.groups()
                found.append(_counter(f"rapl:{scope}", f"{folder}/energy_uj", f"CPU {scope}", int(wraps_at)))
        return tuple(found)


class HwmonEnergyMeter:
    """hwmon `energyN_input`, cumulative microjoules since boot (linux/Documentation/hwmon/sysfs-interface)."""

    name = "hwmon"

    def counters(self, listing: Sequence[str]) -> tuple[MeterInfo, ...]:
        """One counter per energy input; scope is the chip's name, which says no more than the driver does."""
        found = []
        for line in listing:
            match = re.fullmatch(r"hwmon\t(/sys/class/hwmon/hwmon\d+)/(energy\d+)_input\t([\w .-]{1,40})\t", line)
            if match:
                folder, channel, chip = match.groups()
                found.append(_counter(f"hwmon:{chip}:{channel}", f"{folder}/{channel}_input", f"rail of {chip}"))
        return tuple(found)


def _counter(id_: str, path: str, scope: str, wraps_at: int | None = None) -> MeterInfo:
    # A job's words have no spaces.
    return MeterInfo(id=id_.replace(" ", "_"), kind="counter", scope=scope, path=path, wraps_at=wraps_at)
