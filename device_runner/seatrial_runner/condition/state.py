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
from . import android

# One `key<TAB>value` line per fact. Files that are absent or unreadable print nothing. With a second argument it is
# brief: only what may change from run to run, and with hardly a process started, since it is read between runs.
SCRIPT = (
    r"""
say() { printf '%s\t%s\n' "$1" "$2"; }
file() { if [ -r "$2" ]; then { read -r line < "$2"; } 2>/dev/null; [ -n "$line" ] && say "$1" "$line"; fi; line=; }
if [ -z "$2" ]; then
  uname -smr | { read -r s r m; say kernel "$s $r"; say machine "$m"; }
  if command -v getprop >/dev/null 2>&1; then
    say os "Android $(getprop ro.build.version.release)"; say model "$(getprop ro.product.model)"
  elif [ -r /etc/os-release ]; then ( . /etc/os-release; say os "$PRETTY_NAME" ); fi
  [ -r /proc/device-tree/model ] && say model "$(tr -d '\000' < /proc/device-tree/model)"
  say cpu_count "$(nproc 2>/dev/null || grep -c '^processor' /proc/cpuinfo)"
  df -Pk "$1" 2>/dev/null | { read -r line; read -r a b c free rest; say disk_free "$free"; }
fi
file boot_id /proc/sys/kernel/random/boot_id
for d in /sys/devices/system/cpu/cpufreq/policy*; do
  file "governor ${d##*/}" "$d/scaling_governor"; file "frequency ${d##*/}" "$d/scaling_cur_freq"
done
for d in /sys/class/thermal/thermal_zone*; do
  name=; [ -r "$d/type" ] && read -r name < "$d/type"; file "temperature ${d##*/} $name" "$d/temp"
done
for d in /sys/class/thermal/cooling_device*; do
  name=; [ -r "$d/type" ] && read -r name < "$d/type"; file "cooling ${d##*/} $name" "$d/cur_state"
done
for d in /sys/class/power_supply/*; do
  kind=; [ -r "$d/type" ] && read -r kind < "$d/type"
  case "$kind" in
    Battery) file battery "$d/capacity"; file charging "$d/status"; file battery_temperature "$d/temp" ;;
    ?*) file "supply $kind" "$d/online" ;;
  esac
done
for f in /sys/devices/platform/soc/*firmware/get_throttled; do file pi_throttled "$f"; done
for f in /sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count /sys/class/hwmon/hwmon*/oc*_event_cnt; do
  file throttle_count "$f"
done
file load /proc/loadavg
file uptime /proc/uptime
file cpu /proc/stat
file memory_pressure /proc/pressure/memory
while read -r key value unit; do
  case "$key" in
    MemTotal:) say memory_total "$value" ;; MemAvailable:) say memory_available "$value" ;;
    SwapTotal:) say swap_total "$value" ;; SwapFree:) say swap_free "$value" ;;
  esac
done < /proc/meminfo
"""
    + android.SCRIPT
    + "exit 0\n"
)


def read_state(transport: Transport, *, brief: bool = False, seconds: float = 60.0) -> DeviceState:
    """Return the device's state now. Raises DeviceError when not even its architecture can be had.

    ``brief`` leaves out what can't change between two runs (model, system, CPUs, disk), and costs less.
    """
    argv = ["sh", "-c", SCRIPT, "seatrial", transport.root, *(["brief"] if brief else [])]
    done = transport.run(argv, deadline=Deadline.after(seconds), max_output=1 << 20)
    state = parse_state(done.stdout)
    if not brief and not state.machine:
        said = printable(done.stderr) or f"exit code {done.returncode}"
        raise DeviceError(
            f"{transport.name}: does not tell its architecture ({said}); is it a Linux or Android device?"
        )
    return state


def parse_state(text: bytes) -> DeviceState:
    """Turn the script's output into a state; lines that make no sense are dropped (device output is untrusted)."""
    fields: dict[str, Any] = {name: {} for name in ("governors", "frequencies_khz", "temperatures_c", "cooling")}
    fields["unix_ns"] = time.time_ns()
    for key, value in _lines(text):
        if key.startswith("android "):
            android.put(fields, key.removeprefix("android "), value)
        else:
            _put(fields, key, value)
    swap = fields.pop("swap_total", None), fields.pop("swap_free", None)
    if None not in swap:
        fields["swap_used"] = max(0, swap[0] - swap[1])
    return DeviceState(**fields)


def _lines(text: bytes) -> Iterator[tuple[str, str]]:
    for line in text[: 1 << 20].splitlines():
        key, tab, value = line.partition(b"\t")
        if tab:
            yield printable(key, 200), printable(value, 200)


PLAIN = {"kernel", "machine", "os", "model", "boot_id"}
KIBIBYTES = {"memory_total", "memory_available", "disk_free", "swap_total", "swap_free"}
TICKS_PER_SECOND = 100  # USER_HZ, in which /proc/stat counts on every architecture that we have (man 5 proc)


def _put(fields: dict[str, Any], key: str, value: str) -> None:
    word, _, rest = key.partition(" ")
    number = _number(value)
    if word in PLAIN:
        fields[word] = value
    elif word == "governor":
        fields["governors"][rest] = value
    elif word == "charging":
        fields["charging"] = value in ("Charging", "Full")
        fields.setdefault("power_source", "battery" if value == "Discharging" else "")
    elif word == "supply" and value == "1":
        fields["power_source"] = {"Mains": "ac", "USB": "usb", "Wireless": "wireless"}.get(rest, rest.lower())
    elif word in ("load", "uptime"):
        fields[{"load": "load_1m", "uptime": "uptime_s"}[word]] = _number(value.split(" ")[0])
    elif word == "cpu":
        _put_cpu(fields, value)
    elif word == "memory_pressure" and (share := re.search(r"\bavg10=(\d{1,3}(\.\d+)?)", value)):
        fields[word] = float(share[1])
    elif word == "pi_throttled" and re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", value):
        _put_pi(fields, int(value, 16))
    elif number is not None:
        _put_number(fields, word, rest, number)


def _put_pi(fields: dict[str, Any], bits: int) -> None:
    """Bits 0-3: held back now; 16-19: at some time since boot (vcgencmd get_throttled)."""
    fields["throttled"] = bool(bits & 0xF)
    fields["throttle_events"] = fields.get("throttle_events", 0) + (bits >> 16 & 0xF).bit_count()


def _put_cpu(fields: dict[str, Any], value: str) -> None:
    """`cpu user nice system idle iowait irq softirq steal`: guest times are in user's already (man 5 proc)."""
    ticks = [int(tick) for tick in value.split()[1:9] if re.fullmatch(r"\d{1,18}", tick)]
    if value.startswith("cpu ") and len(ticks) >= 4:
        idle = sum(ticks[3:5])
        fields["cpu_total"] = sum(ticks) / TICKS_PER_SECOND
        fields["cpu_busy"] = (sum(ticks) - idle) / TICKS_PER_SECOND


def _put_number(fields: dict[str, Any], word: str, rest: str, number: float) -> None:
    if word in KIBIBYTES and 0 <= number < 2**43:
        fields[word] = int(number) * 1024
    elif word == "cpu_count" and 0 < number < 2**16:
        fields["cpu_count"] = int(number)
    elif word == "battery" and 0 <= number <= 100:
        fields["battery_percent"] = number
    elif word == "battery_temperature" and -1000 < number < 2000:
        fields["battery_temperature_c"] = number / 10  # power_supply: tenths of a degree
    elif word == "frequency" and 0 <= number < 2**40:
        fields["frequencies_khz"][rest] = int(number)
    elif word == "temperature" and -273_150 < number < 1_000_000:
        fields["temperatures_c"][rest] = number / 1000  # sysfs: millidegrees
    elif word == "cooling" and 0 <= number < 2**31:
        fields["cooling"][rest] = int(number)
    elif word == "throttle_count" and 0 <= number < 2**53:
        fields["throttle_events"] = fields.get("throttle_events", 0) + int(number)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d{1,15}(\.\d{1,6})?", text) else None
