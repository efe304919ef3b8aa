"""What only Android tells, through `dumpsys` and `settings`: thermal status, battery, screen, Doze, airplane mode.

An Android shell may not read most of /sys, so that this is all there is on many phones.
"""

from __future__ import annotations

import re
from typing import Any

# Part of `state.SCRIPT`. The thermal status is asked for between runs, too; the rest is for before and after a trial.
SCRIPT = r"""
if command -v dumpsys >/dev/null 2>&1; then
  dumpsys thermalservice 2>/dev/null | while read -r line; do
    case "$line" in
      "Current temp"*) say "android current" 1 ;;
      "Thermal Status:"*|Temperature\{*) say "android thermal" "$line" ;;
    esac
  done
  dumpsys battery 2>/dev/null | while read -r line; do say "android battery" "$line"; done
  if [ -z "$2" ]; then
    dumpsys power 2>/dev/null | while read -r line; do
      case "$line" in mWakefulness=*) say "android power" "$line" ;; esac
    done
    say "android idle" "$(dumpsys deviceidle get deep 2>/dev/null)"
    say "android airplane" "$(settings get global airplane_mode_on 2>/dev/null)"
    say "android low_power" "$(settings get global low_power 2>/dev/null)"
  fi
fi
"""

CPU_AND_GPU = ("0", "1")  # TemperatureType of the thermal HAL; 2 is the battery, 3 the skin, others say little


def put(fields: dict[str, Any], key: str, value: str) -> None:
    """Take one line of what Android says into the fields of a `DeviceState`; what makes no sense is dropped."""
    if key == "thermal":
        _thermal(fields, value)
    elif key == "current":  # what came before was cached, and may be old
        for name in [name for name in fields["temperatures_c"] if name.startswith("hal ")]:
            del fields["temperatures_c"][name]
    elif key == "battery":
        _battery(fields, *_pair(value, ":"))
    elif key == "power" and value.startswith("mWakefulness="):
        fields["screen_on"] = value.removeprefix("mWakefulness=") == "Awake"
    elif key == "idle" and re.fullmatch(r"[A-Z_]{1,40}", value):
        fields["idle_mode"] = value
    elif key in ("airplane", "low_power") and value in ("0", "1"):
        fields[{"airplane": "airplane", "low_power": "power_save"}[key]] = value == "1"


def _thermal(fields: dict[str, Any], line: str) -> None:
    if found := re.fullmatch(r"Thermal Status:\s*(\d)", line):
        fields["thermal_status"] = int(found[1])
        # From MODERATE (2) on the system holds itself back; LIGHT (1) only warns, but is out of a window all the same.
        fields["throttled"] = int(found[1]) >= 2
    elif found := re.match(r"Temperature\{mValue=(-?\d{1,3}(?:\.\d+)?), mType=(\d+), mName=([^,}]{1,60}),", line):
        degrees, kind, name = float(found[1]), found[2], found[3]
        if kind in CPU_AND_GPU and degrees:  # 0.0 is what unconnected sensors show
            fields["temperatures_c"][f"hal {name}"] = degrees
        elif kind == "2" and degrees:
            fields.setdefault("battery_temperature_c", degrees)


def _battery(fields: dict[str, Any], key: str, value: str) -> None:
    if key == "level" and value.isdigit() and int(value) <= 100:
        fields["battery_percent"] = float(value)
    elif key == "temperature" and re.fullmatch(r"-?\d{1,4}", value):
        fields["battery_temperature_c"] = int(value) / 10
    elif key == "status" and value in ("2", "3", "4", "5"):  # charging, discharging, not charging, full
        fields["charging"] = value in ("2", "5")
        fields.setdefault("power_source", "battery")
    elif key in ("AC powered", "USB powered", "Wireless powered") and value == "true":
        fields["power_source"] = key.split(" ")[0].lower()


def _pair(line: str, mark: str) -> tuple[str, str]:
    key, _, value = line.partition(mark)
    return key.strip(), value.strip()
