"""The power rails of a Jetson: found by their labels, since numbers of hwmon devices change from boot to boot.

Which rail is the whole board's depends on the board. Where there is none (AGX Orin, AGX Xavier), the figure is the sum
of the module's rails, says so, and leaves out the carrier board: VIN_SYS_5V0 is a rail among others there, not what the
board draws. Unproven on a board.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..records import Channel, MeterInfo
from .base import Meter

# The one rail that is all of the board, or of the module with its carrier's supply, where there is one.
TOTALS = ("VDD_IN", "POM_5V_IN", "VIN")
# Labels of boards without one: their sum is the module's.
SUMS = (
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"),  # AGX Orin
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),  # AGX Xavier
)
UNUSED = "NC"
NO_TOTAL = "the board has no rail for all of it: this is the sum of its module's rails, without the carrier board"


@dataclass(frozen=True)
class Rail:
    """One channel of a power monitor: its label, its files, what they hold, and how it was set up."""

    label: str
    chip: str
    files: tuple[str, ...]
    scale: float
    interval_ms: int = 0
    samples: int = 0


class JetsonRails(Meter):
    """INA3221 through hwmon (JetPack 5 and later) or iio (JetPack 4), and Thor's INA238 at its input."""

    name = "jetson"
    LIST = r"""
can() { head -c 1 "$1" >/dev/null 2>&1; }
for d in /sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*; do
  [ -d "$d" ] || continue
  chip=${d%/hwmon/*}; chip=${chip##*/}; interval=0; samples=0
  { read -r interval < "$d/update_interval"; } 2>/dev/null; { read -r samples < "$d/samples"; } 2>/dev/null
  for n in 1 2 3; do
    label=; { read -r label < "$d/in${n}_label"; } 2>/dev/null
    [ -n "$label" ] || continue
    if can "$d/in${n}_input" && can "$d/curr${n}_input"; then
      printf 'jetson\tina3221\t%s\t%s\t%s\t%s\t%s\n' "$chip" "$label" "$d/in${n}_input" "$interval" "$samples"
    elif [ -e "$d/in${n}_input" ]; then printf 'denied\t%s\n' "$d/in${n}_input"; fi
  done
done
for d in /sys/bus/i2c/drivers/ina3221x/*/iio:device*; do
  [ -d "$d" ] || continue
  chip=${d%/iio:*}; chip=${chip##*/}
  for n in 0 1 2; do
    label=; { read -r label < "$d/rail_name_$n"; } 2>/dev/null
    [ -n "$label" ] || continue
    if can "$d/in_power${n}_input"; then
      printf 'jetson\tiio\t%s\t%s\t%s\t0\t0\n' "$chip" "$label" "$d/in_power${n}_input"
    elif [ -e "$d/in_power${n}_input" ]; then printf 'denied\t%s\n' "$d/in_power${n}_input"; fi
  done
done
for d in /sys/bus/i2c/drivers/ina238/*/hwmon/hwmon* /sys/bus/i2c/drivers/ina2xx/*/hwmon/hwmon*; do
  name=; { read -r name < "$d/name"; } 2>/dev/null
  [ "$name" = ina238 ] || continue
  if can "$d/power1_input"; then printf 'jetson\tina238\t%s\tVIN\t%s\t0\t0\n' "${d##*/}" "$d/power1_input"
  elif [ -e "$d/power1_input" ]; then printf 'denied\t%s\n' "$d/power1_input"; fi
done
"""

    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """Return the board's total with its parts beside it, or the sum of a module's rails; nothing for others."""
        rails = [rail for rail in map(_rail, lines) if rail and rail.label != UNUSED]
        labels = {rail.label for rail in rails}
        total = next((name for name in TOTALS if name in labels), "")
        if total:
            return (_meter(rails, (total,), f"rail {total}"),)
        sums = next((names for names in SUMS if set(names) <= labels), ())
        return (_meter(rails, sums, f"sum of {' + '.join(sums)}", NO_TOTAL),) if sums else ()


# What a line may name: files outside of these are none of ours, whatever the device says.
_WAYS = {
    "ina3221": (r"/sys/bus/i2c/drivers/ina3221/[\w-]+/hwmon/hwmon\d+/in([123])_input", 1.0),  # mV and mA
    "iio": (r"/sys/bus/i2c/drivers/ina3221x/[\w-]+/iio:device\d+/in_power([012])_input", 1000.0),  # mW
    "ina238": (r"/sys/bus/i2c/drivers/ina(?:238|2xx)/[\w-]+/hwmon/hwmon\d+/power(1)_input", 1.0),  # uW
}


def _rail(line: str) -> Rail | None:
    words = line.split("\t")
    if len(words) != 7 or words[1] not in _WAYS or not re.fullmatch(r"[\w.-]{1,40}", words[3]):
        return None
    pattern, scale = _WAYS[words[1]]
    found = re.fullmatch(pattern, words[4])
    if not found or not re.fullmatch(r"[\w-]{1,40}", words[2]):
        return None
    files: tuple[str, ...] = (words[4],)
    if words[1] == "ina3221":
        files = (words[4], words[4].replace(f"/in{found[1]}_input", f"/curr{found[1]}_input"))
    return Rail(words[3], words[2], files, scale, *(int(n) if n.isdecimal() and len(n) < 7 else 0 for n in words[5:]))


def _meter(rails: Sequence[Rail], counted: tuple[str, ...], scope: str, doubt: str = "") -> MeterInfo:
    """A monitor set to average is an averaging meter, though of three rails each is seen a third of the time."""
    first = next(rail for rail in rails if rail.label in counted)
    averages = first.samples > 1 and first.interval_ms > 0
    return MeterInfo(
        id=f"jetson:{'+'.join(counted)}",
        kind="averaging" if averages else "point",
        scope=scope,
        rate_hz=1000.0 / first.interval_ms if first.interval_ms else None,
        resolution="the sensor's step is a few mW, its gain good to some percent",
        channels=tuple(_channel(rail, rail.label in counted) for rail in rails),
        doubt=doubt,
    )


def _channel(rail: Rail, counts: bool) -> Channel:
    kind = "voltage and current" if len(rail.files) == 2 else "power"
    names = ("mV", "mA") if len(rail.files) == 2 else ("power",)
    return Channel(
        name=rail.label,
        quantity=kind,  # type: ignore[arg-type]
        counters=tuple(f"{rail.chip}:{rail.label}:{name}" for name in names),
        paths=rail.files,
        scale=rail.scale,
        in_total=counts,
    )
