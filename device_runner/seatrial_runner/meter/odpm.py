"""On-device power monitors of Pixel phones (ODPM): cumulative energy of each rail, through iio.

Their `energy_value` holds a line per rail, `CH3(T=123456)[S2M_VDD_CPUCL2], 4567890`: microwatt-seconds since they were
switched on (Android's power stats HAL reads the same file). A loop on the device stamps it with the time since boot.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..records import Channel, MeterInfo
from .programs import ProgramMeter, Readings

PERIOD = ".1"  # seconds: the monitors add up by themselves, so that a late reading loses nothing
_RAIL = re.compile(r"CH\d{1,3}\(T=\d{1,18}\)\[([\w./:-]{1,60})\], ?(\d{1,18})")
_FILE = re.compile(r"/sys/bus/iio/devices/iio:device\d{1,3}/energy_value")
DOUBT = "the rails that are told of do not add up to the whole phone, and one may contain another"
ROUND = "\x02"  # begins what one look at all files gave


class OdpmMeter(ProgramMeter):
    """The sum of all rails that the phone's monitors are set to."""

    name = "odpm"
    LIST = r"""
for f in /sys/bus/iio/devices/iio:device*/energy_value; do
  [ -e "$f" ] || continue
  if head -c 1 "$f" >/dev/null 2>&1; then
    while read -r line; do printf 'odpm\t%s\t%s\n' "$f" "$line"; done < "$f"
  else printf 'denied\t%s\n' "$f"; fi
done
"""

    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """Return one meter of all rails, or none."""
        rails: dict[str, str] = {}
        for line in lines:
            _, _, rest = line.partition("\t")
            path, _, text = rest.partition("\t")
            match = _RAIL.fullmatch(text.strip())
            if match and _FILE.fullmatch(path):
                rails.setdefault(match[1], path)
        if not rails:
            return ()
        return (
            MeterInfo(
                id="odpm",
                kind="counter",
                scope=f"sum of {len(rails)} power rails",
                source="device program",
                rate_hz=None,
                resolution="1 uJ per step",
                channels=tuple(_channel(rail, path) for rail, path in rails.items()),
                doubt=DOUBT,
            ),
        )

    def script(self, meter: MeterInfo) -> str:
        """Return a loop that prints the time since boot and all files."""
        files = " ".join(dict.fromkeys(path for channel in meter.channels for path in channel.paths))
        look = f"read -r up rest < /proc/uptime; printf '\\002%s\\n' \"$up\"; cat {files}"
        return f"trap 'exit 0' TERM; while :; do {look}; sleep {PERIOD} 2>/dev/null || sleep 1; done"

    def parse(self, output: bytes, meter: MeterInfo) -> Readings:
        """Return every look at the rails."""
        columns = tuple(channel.name for channel in meter.channels)
        rows = []
        for block in output.decode("utf-8", "replace").split(ROUND)[1:]:
            time, _, rest = block.partition("\n")
            found = {match[1]: int(match[2]) for match in _RAIL.finditer(rest)}
            if re.fullmatch(r"\d{1,12}\.\d{1,6}", time) and found:
                rows.append((round(float(time) * 1e9), tuple(found.get(column) for column in columns)))
        return Readings("device", columns, tuple(rows))


def _channel(rail: str, path: str) -> Channel:
    return Channel(name=rail, quantity="energy", counters=(rail,), paths=(path,))
