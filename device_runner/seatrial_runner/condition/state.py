"""Read what the device tells about itself, in one round trip, as any user: no root, no tool beyond a POSIX shell."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any

from seatrial_targets.errors import DeviceError

from ..deadline import Deadline
from ..printable import printable
from ..records import DeviceState
from ..transport.base import Transport

# One `key<TAB>value` line per fact. Files that are absent or unreadable print nothing.
SCRIPT = r"""
say() { printf '%s\t%s\n' "$1" "$2"; }
file() { if [ -r "$2" ]; then { read -r line < "$2"; } 2>/dev/null; [ -n "$line" ] && say "$1" "$line"; fi; line=; }
uname -smr | { read -r s r m; say kernel "$s $r"; say machine "$m"; }
if command -v getprop >/dev/null 2>&1; then
  say os "Android $(getprop ro.build.version.release)"; say model "$(getprop ro.product.model)"
elif [ -r /etc/os-release ]; then ( . /etc/os-release; say os "$PRETTY_NAME" ); fi
[ -r /proc/device-tree/model ] && say model "$(tr -d '\000' < /proc/device-tree/model)"
file boot_id /proc/sys/kernel/random/boot_id
say cpu_count "$(nproc 2>/dev/null || grep -c '^processor' /proc/cpuinfo)"
for d in /sys/devices/system/cpu/cpufreq/policy*; do
  file "governor ${d##*/}" "$d/scaling_governor"; file "frequency ${d##*/}" "$d/scaling_cur_freq"
done
for d in /sys/class/thermal/thermal_zone*; do
  name=; [ -r "$d/type" ] && read -r name < "$d/type"; file "temperature ${d##*/} $name" "$d/temp"
done
for d in /sys/class/power_supply/*; do
  kind=; [ -r "$d/type" ] && read -r kind < "$d/type"
  case "$kind" in Battery) file battery "$d/capacity"; file charging "$d/status";; esac
done
for f in /sys/devices/platform/soc/*firmware/get_throttled; do file pi_throttled "$f"; done
file load /proc/loadavg
while read -r key value unit; do
  case "$key" in MemTotal:) say memory_total "$value";; MemAvailable:) say memory_available "$value";; esac
done < /proc/meminfo
df -Pk "$1" 2>/dev/null | { read -r line; read -r a b c free rest; say disk_free "$free"; }
exit 0
"""


def read_state(transport: Transport, *, seconds: float = 60.0) -> DeviceState:
    """Return the device's state now. Raises DeviceError when not even its architecture can be had."""
    argv = ["sh", "-c", SCRIPT, "seatrial", transport.root]
    done = transport.run(argv, deadline=Deadline.after(seconds), max_output=1 << 20)
    state = parse_state(done.stdout)
    if not state.machine:
        said = printable(done.stderr) or f"exit code {done.returncode}"
        raise DeviceError(
            f"{transport.name}: does not tell its architecture ({said}); is it a Linux or Android device?"
        )
    return state


def parse_state(text: bytes) -> DeviceState:
    """Turn the script's output into a state; lines that make no sense are dropped (device output is untrusted)."""
    fields: dict[str, Any] = {"unix_ns": time.time_ns(), "governors": {}, "frequencies_khz": {}, "temperatures_c": {}}
    for key, value in _lines(text):
        _put(fields, key, value)
    return DeviceState(**fields)


def _lines(text: bytes) -> Iterator[tuple[str, str]]:
    for line in text[: 1 << 20].splitlines():
        key, tab, value = line.partition(b"\t")
        if tab:
            yield printable(key, 200), printable(value, 200)


PLAIN = {"kernel", "machine", "os", "model", "boot_id"}
KIBIBYTES = {"memory_total", "memory_available", "disk_free"}


def _put(fields: dict[str, Any], key: str, value: str) -> None:
    word, _, rest = key.partition(" ")
    number = _number(value)
    if word in PLAIN:
        fields[word] = value
    elif word == "governor":
        fields["governors"][rest] = value
    elif word == "charging":
        fields["charging"] = value in ("Charging", "Full")
    elif word == "throttled" and value in ("0", "1"):
        fields["throttled"] = value == "1"
    elif word == "load":
        fields["load_1m"] = _number(value.split(" ")[0])
    elif word == "pi_throttled" and re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", value):
        fields["throttled"] = bool(int(value, 16) & 0xF)  # bits 0-3: now; 16-19: since boot (vcgencmd get_throttled)
    elif number is not None:
        _put_number(fields, word, rest, number)


def _put_number(fields: dict[str, Any], word: str, rest: str, number: float) -> None:
    if word in KIBIBYTES and 0 <= number < 2**43:
        fields[word] = int(number) * 1024
    elif word == "cpu_count" and 0 < number < 2**16:
        fields["cpu_count"] = int(number)
    elif word == "battery" and 0 <= number <= 100:
        fields["battery_percent"] = number
    elif word == "frequency" and 0 <= number < 2**40:
        fields["frequencies_khz"][rest] = int(number)
    elif word == "temperature" and -273_150 < number < 1_000_000:
        fields["temperatures_c"][rest] = number / 1000  # sysfs: millidegrees


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d{1,15}(\.\d{1,6})?", text) else None
