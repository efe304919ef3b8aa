"""The battery's own gauge (power_supply class): of phones, laptops and boards with a battery. Coarse, but everywhere.

Source: linux/Documentation/ABI/testing/sysfs-class-power: uA, uV, uAh. The sign of current_now is a matter of taste
among drivers, which is why it is left alone: only the status tells which way the current goes, and a gauge is read only
while the battery is discharging. What it counts is charge; energy is that times the voltage at the moment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..records import Channel, MeterInfo
from .base import Meter

WHOLE = "the whole device, screen and radios included, by its battery's own gauge"


class BatteryMeter(Meter):
    """First the counter of charge, then the current at a moment, which is refused where it is too slow."""

    name = "battery"
    LIST = r"""
for d in /sys/class/power_supply/*; do
  kind=; status=; { read -r kind < "$d/type"; read -r status < "$d/status"; } 2>/dev/null
  [ "$kind" = Battery ] || continue
  case "$status" in Discharging) ;; *)
    status=${status:-of unknown status}
    printf 'refused\tthe battery is %s, so that its gauge does not tell what the device draws; unplug it\n' "$status"
    continue ;;
  esac
  for f in charge_counter charge_now current_now; do
    [ -e "$d/$f" ] || continue
    if head -c 1 "$d/$f" >/dev/null 2>&1 && head -c 1 "$d/voltage_now" >/dev/null 2>&1; then
      printf 'battery\t%s\t%s\n' "$d" "$f"
    else printf 'denied\t%s\n' "$d/$f"; fi
  done
done
"""

    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """Return the gauge's counter, if it has one, and its current."""
        found = []
        for line in lines:
            match = re.fullmatch(
                r"battery\t(/sys/class/power_supply/[\w.:-]+)\t(charge_counter|charge_now|current_now)", line
            )
            if match:
                found.append(_gauge(*match.groups()))
        return sorted(found, key=lambda meter: meter.kind != "counter")


def _gauge(folder: str, file: str) -> MeterInfo:
    name = folder.rpartition("/")[2]
    counts = file != "current_now"
    files = (file, "voltage_now") if counts else ("voltage_now", file)
    channel = Channel(
        name=name,
        quantity="charge and voltage" if counts else "voltage and current",
        counters=tuple(f"{name}:{each}" for each in files),
        paths=tuple(f"{folder}/{each}" for each in files),
        # uAh x uV: 3600 s/h x 1e-6 = 3.6e-3 uJ, and charge goes down while energy is drawn. uV x uA: 1e-6 uW.
        scale=-3.6e-3 if counts else 1e-6,
        signed=counts,
    )
    return MeterInfo(
        id=f"battery:{name}:{file}",
        kind="counter" if counts else "point",
        scope=WHOLE,
        resolution="steps of the gauge's counter, often 1 mAh" if counts else "as the gauge has it",
        channels=(channel,),
        doubt="a battery's gauge; its steps and its own averaging are the maker's secret",
    )
