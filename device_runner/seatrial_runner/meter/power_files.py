"""Power monitors that Linux offers as files of one number: INA2xx, INA238 and others through hwmon, or through iio.

Sources: linux/Documentation/hwmon/{sysfs-interface,ina2xx,ina238,ina3221}.rst, Documentation/ABI/testing/sysfs-bus-iio.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..records import Channel, MeterInfo
from .base import Meter

# Chips that convert for a while and average what they saw; of others we know only that the value is one of a moment.
AVERAGING = re.compile(r"ina2\d\d|ina3221|ltc2945|ltc2947|adm1\d\d\d|pac19\d\d|isl28022")
_HWMON = re.compile(
    r"power\t(/sys/class/hwmon/hwmon\d+)/(power\d+)_(average|input)\t([\w .-]{1,40})\t([\w /.-]{0,40})\t(\d{0,9})"
)


class HwmonPowerMeter(Meter):
    """hwmon `powerN_average` or `powerN_input` (microwatts), of every chip that has one; update_interval in ms."""

    name = "power"
    LIST = r"""
for f in /sys/class/hwmon/hwmon*/power*_average /sys/class/hwmon/hwmon*/power*_input; do
  [ -e "$f" ] || continue
  d=${f%/*}; channel=${f##*/}; channel=${channel%_*}; name=; label=; interval=
  { read -r name < "$d/name"; read -r label < "$d/${channel}_label"; } 2>/dev/null
  { read -r interval < "$d/update_interval"; } 2>/dev/null
  if head -c 1 "$f" >/dev/null 2>&1; then printf 'power\t%s\t%s\t%s\t%s\n' "$f" "$name" "$label" "$interval"
  else printf 'denied\t%s\n' "$f"; fi
done
"""

    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """One meter per channel; one that averages comes before one that does not."""
        found: dict[str, MeterInfo] = {}
        for line in lines:
            match = _HWMON.fullmatch(line)
            if match:
                folder, channel, file, chip, label, interval = match.groups()
                averages = file == "average" or bool(AVERAGING.fullmatch(chip))
                info = _meter(f"power:{chip}:{label or channel}", label or f"rail of {chip}", averages, interval)
                found.setdefault(f"{folder}/{channel}", _with_file(info, f"{folder}/{channel}_{file}", 1.0))
        return sorted(found.values(), key=lambda meter: meter.kind)


class IioPowerMeter(Meter):
    """iio `in_powerN_input` (milliwatts), or `in_powerN_raw` with its scale: INA2xx through industrial I/O."""

    name = "iio"
    LIST = r"""
for f in /sys/bus/iio/devices/iio:device*/in_power*_raw /sys/bus/iio/devices/iio:device*/in_power*_input; do
  [ -e "$f" ] || continue
  d=${f%/*}; channel=${f##*/}; kind=${channel##*_}; channel=${channel%_*}; name=; scale=1; rate=
  { read -r name < "$d/name"; read -r rate < "$d/in_sampling_frequency"; } 2>/dev/null
  [ "$kind" = input ] || { read -r scale < "$d/${channel}_scale"; } 2>/dev/null
  if head -c 1 "$f" >/dev/null 2>&1; then printf 'iio\t%s\t%s\t%s\t%s\n' "$f" "$name" "$scale" "$rate"
  else printf 'denied\t%s\n' "$f"; fi
done
"""

    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """One meter per channel."""
        found = []
        for line in lines:
            match = re.fullmatch(
                r"iio\t(/sys/bus/iio/devices/iio:device\d+/in_(power\d*)_(?:raw|input))\t([\w .-]{0,40})\t"
                r"(\d{1,6}(?:\.\d{1,12})?)\t(\d{0,9})(?:\.\d+)?",
                line,
            )
            if match:
                path, channel, chip, scale, rate = match.groups()
                averages = bool(AVERAGING.fullmatch(chip))
                info = _meter(f"iio:{chip or 'power'}:{channel}", f"rail of {chip or 'an iio device'}", averages, "")
                info = info.model_copy(update={"rate_hz": float(rate) if rate and int(rate) else None})
                found.append(_with_file(info, path, 1000.0 * float(scale)))  # milliwatts
        return found


def _meter(name: str, scope: str, averages: bool, interval_ms: str) -> MeterInfo:
    rate = 1000.0 / int(interval_ms) if interval_ms and int(interval_ms) else None
    kind = "averaging" if averages else "point"
    return MeterInfo(id=re.sub(r"[ /]", "_", name), kind=kind, scope=scope, rate_hz=rate)  # type: ignore[arg-type]


def _with_file(meter: MeterInfo, path: str, scale: float) -> MeterInfo:
    channel = Channel(name=meter.scope, quantity="power", counters=(meter.id,), paths=(path,), scale=scale)
    return meter.model_copy(update={"channels": (channel,)})
