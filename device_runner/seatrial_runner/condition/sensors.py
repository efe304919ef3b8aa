"""Files that tell temperatures and clocks while a model runs for minutes: what the device has and lets us read."""

from __future__ import annotations

import re

from ..deadline import Deadline
from ..printable import printable
from ..transport.base import Transport

MOST = 24  # a phone has a hundred thermal zones; each reading costs a little

LIST = r"""
one() { { read -r line < "$2"; } 2>/dev/null && printf '%s\t%s\n' "$1" "$2"; }
for d in /sys/devices/system/cpu/cpufreq/policy*; do one "frequency:${d##*/}" "$d/scaling_cur_freq"; done
for d in /sys/class/thermal/thermal_zone*; do
  name=; { read -r name < "$d/type"; } 2>/dev/null; one "temperature:${d##*/}/$name" "$d/temp"
done
for d in /sys/class/power_supply/*; do one "battery_temperature:${d##*/}" "$d/temp"; done
exit 0
"""


def find_sensors(transport: Transport) -> dict[str, str]:
    """Return id to file: ``frequency:POLICY`` (kHz), ``temperature:ZONE/NAME`` (millidegrees Celsius), ``battery_...``
    (tenths of a degree). One round trip."""
    done = transport.run(["sh", "-c", LIST, "seatrial"], deadline=Deadline.after(30.0), max_output=1 << 20)
    found: dict[str, str] = {}
    for line in done.stdout.splitlines():
        key, _, path = (printable(part, 300) for part in line.partition(b"\t"))
        # A job's words have no spaces.
        if re.fullmatch(r"/sys/[\w./:-]+", path) and ".." not in path and len(found) < MOST:
            found[re.sub(r"[^\w:/.-]", "_", key)] = path
    return found
