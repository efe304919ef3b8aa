"""An iPhone's battery gauge, by the program pymobiledevice3 on the machine that reaches the phone.

Source: the properties of IOPMPowerSource (AppleSmartBattery.cpp in Apple's PowerManagement sources): `Amperage` is the
gauge's own mean current in mA, negative while it discharges, over its last minute or so; `Voltage` in mV; `UpdateTime`
in Unix seconds. A phone that is plugged in, as it is on USB, draws from the cable: then its battery tells nothing.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

from ..records import Channel, MeterInfo
from .battery import WHOLE
from .programs import ProgramMeter, Readings

EVERY_SECONDS = 5  # how often it is asked; the gauge itself is slower
COLUMN = "battery"
_UDID = re.compile(r"iphone\t([0-9A-Za-z-]{1,64})")
_WRAP = 1 << 64  # a negative current is sometimes told as an unsigned number


class PhoneBatteryMeter(ProgramMeter):
    """Current times voltage of the whole phone, in steps of tens of seconds: windows of minutes are needed."""

    name = "iphone"
    LIST = r"""
[ -n "$1" ] || exit 0
if ! command -v pymobiledevice3 >/dev/null 2>&1; then
  printf 'refused\tpymobiledevice3, which reads the battery of a phone, is not where the phone hangs on\n'; exit 0
fi
said=$(NO_COLOR=1 pymobiledevice3 diagnostics battery single --udid "$1" </dev/null | tr -d ' \t\r\n')
case $said in
  *'"ExternalConnected":false'*) printf 'iphone\t%s\n' "$1" ;;
  *'"ExternalConnected":true'*)
    printf 'refused\tthe phone is plugged in, so that its battery does not tell what it draws; '
    printf 'unplug it and reach it over Wi-Fi, with --energy-window 10m\n' ;;
  *) printf 'refused\tthe phone does not tell whether it is plugged in\n' ;;
esac
"""

    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """Return the gauge of the phone that answered."""
        found = [match for line in lines if (match := _UDID.fullmatch(line))]
        return [_gauge(match.group(1)) for match in found[:1]]

    def script(self, meter: MeterInfo) -> str:
        """Return a loop that prints the gauge's properties, one JSON object on a line."""
        udid = shlex.quote(meter.id.partition(":")[2])
        asked = f"NO_COLOR=1 pymobiledevice3 diagnostics battery single --udid {udid} | tr -d '\\r\\n'"
        return f"while :; do {asked}; echo; sleep {EVERY_SECONDS}; done"

    def parse(self, output: bytes, meter: MeterInfo) -> Readings:
        """Return each update of the gauge once, in uW; those of a phone that was plugged in are left out."""
        rows: dict[int, tuple[int | None, ...]] = {}
        for line in output.splitlines():
            reading = _reading(line)
            if reading is not None and (not rows or reading[0] > max(rows)):
                rows[reading[0]] = (reading[1],)
        return Readings("unix", (COLUMN,), tuple(rows.items()))


def _gauge(udid: str) -> MeterInfo:
    return MeterInfo(
        id=f"iphone:{udid}",
        kind="averaging",
        scope=WHOLE,
        source="device program",
        resolution="1 mA, each 20 s or slower",
        channels=(Channel(name=COLUMN, quantity="power", counters=(COLUMN,)),),
        doubt="the mean of a battery's gauge over its last minute or so, which blurs the edges of the windows",
    )


def _reading(line: bytes) -> tuple[int, int] | None:
    """Return when (Unix ns) and how much power (uW) the battery gave, or None for what makes no sense."""
    try:
        found = json.loads(line[:1_000_000])
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.get("ExternalConnected") is not False:
        return None
    when, current, voltage = (_whole(found.get(key)) for key in ("UpdateTime", "Amperage", "Voltage"))
    if when is None or current is None or voltage is None:
        return None
    current -= _WRAP if current >= _WRAP // 2 else 0
    if not (0 < when < 1 << 33 and -100_000 < current <= 0 < voltage < 100_000):
        return None
    return when * 1_000_000_000, -current * voltage


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
