"""Power rails through perfetto's data source `android.power`, where the files themselves may not be read.

Its trace is a protocol buffer, of which two messages are read here (perfetto/protos/perfetto/trace/power): PowerRails,
with cumulative microwatt-seconds, and BatteryCounters, with charge and voltage. Times are those since boot.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..records import Channel, MeterInfo
from .odpm import DOUBT
from .programs import ProgramMeter, Readings

POLL_MS = 250  # the least that the data source takes
BATTERY = ("battery:charge", "battery:voltage")
# Field numbers of the messages; BatteryCounters' are those of charge_counter_uah and voltage_uv.
_PACKET, _TIMESTAMP, _POWER_RAILS, _BATTERY = 1, 8, 40, 38
_DESCRIPTOR, _ENERGY = 1, 2
_INDEX, _NAME, _TIME_MS, _UWS = 1, 2, 2, 3
_CHARGE, _VOLTAGE = 1, 7
Fields = dict[int, "int | bytes"]


class PerfettoMeter(ProgramMeter):
    """The rails that perfetto tells of, else the battery's counter of charge."""

    name = "perfetto"
    # The data source itself lives in a daemon of Android's, which only says so in a trace: one is made for a moment.
    LIST = r"""
command -v perfetto >/dev/null 2>&1 && command -v dumpsys >/dev/null 2>&1 || exit 0
case "$(dumpsys battery 2>/dev/null | while read -r k v; do [ "$k" = status: ] && echo "$v"; done)" in
  3) echo 'perfetto	battery' ;;
  *) echo 'perfetto	rails' ;;
esac
"""

    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """Return the meter; which rails there are is known only once it has measured."""
        if not {"perfetto\tbattery", "perfetto\trails"} & set(lines):
            return ()
        on_battery = any(line.endswith("\tbattery") for line in lines)
        channel = Channel(
            name="battery", quantity="charge and voltage", counters=BATTERY, scale=-3.6e-3, in_total=on_battery
        )
        return (
            MeterInfo(
                id="perfetto",
                kind="counter",
                scope="all power rails that Android tells of, else the battery's charge",
                source="device program",
                rate_hz=1000 / POLL_MS,
                channels=(channel,),
                doubt=DOUBT,
            ),
        )

    def script(self, meter: MeterInfo) -> str:
        """Return what records until it is ended, then prints the trace."""
        config = (
            'buffers { size_kb: 4096 fill_policy: RING_BUFFER } data_sources { config { name: "android.power" '
            f"android_power_config {{ battery_poll_ms: {POLL_MS} collect_power_rails: true "
            "battery_counters: BATTERY_COUNTER_CHARGE battery_counters: BATTERY_COUNTER_VOLTAGE } } } "
            "write_into_file: true file_write_period_ms: 1000 duration_ms: 3600000"
        )
        return (
            "trace=/data/misc/perfetto-traces/seatrial-$$\n"
            f"perfetto -c - --txt -o \"$trace\" >&2 <<'END' &\n{config}\nEND\n"
            'job=$!; trap \'kill -INT $job\' TERM; wait $job; wait $job; cat "$trace"; rm -f "$trace"\n'
        )

    def parse(self, output: bytes, meter: MeterInfo) -> Readings:
        """Return the rails' counters, or the battery's where no rail was told."""
        rails, battery = _collected(output)
        if rails:
            names = sorted({name for looks in rails.values() for name in looks})
            rows = tuple((t, tuple(looks.get(name) for name in names)) for t, looks in sorted(rails.items()))
            return Readings("device", tuple(names), rows)
        return Readings("device", BATTERY, tuple((t, pair) for t, pair in sorted(battery.items())))


def rails_of(meter: MeterInfo, readings: Readings) -> MeterInfo:
    """Return the meter with the channels that its readings have."""
    if readings.columns == BATTERY:
        return meter
    rails = tuple(Channel(name=name, quantity="energy", counters=(name,)) for name in readings.columns)
    return meter.model_copy(update={"channels": rails, "scope": f"sum of {len(rails)} power rails"})


def _collected(trace: bytes) -> tuple[dict[int, dict[str, int]], dict[int, tuple[int, int]]]:
    names: dict[int, str] = {}
    looks: list[tuple[int, int, int]] = []  # time, index, energy
    battery: dict[int, tuple[int, int]] = {}
    for number, packet in fields(trace):
        if number != _PACKET or not isinstance(packet, bytes):
            continue
        content = dict(fields(packet))
        if isinstance(told := content.get(_POWER_RAILS), bytes):
            _rails(told, names, looks)
        if isinstance(told := content.get(_BATTERY), bytes):
            counters, at = dict(fields(told)), content.get(_TIMESTAMP)
            charge, voltage = counters.get(_CHARGE), counters.get(_VOLTAGE)
            if isinstance(at, int) and isinstance(charge, int) and isinstance(voltage, int):
                battery[at] = (charge, voltage)
    rails: dict[int, dict[str, int]] = {}
    for at, index, energy in looks:
        if index in names:
            rails.setdefault(at, {})[names[index]] = energy
    return rails, battery


def _rails(message: bytes, names: dict[int, str], looks: list[tuple[int, int, int]]) -> None:
    for number, value in fields(message):
        if not isinstance(value, bytes):
            continue
        content = dict(fields(value))
        index = content.get(_INDEX)
        if not isinstance(index, int):
            continue
        if number == _DESCRIPTOR and isinstance(name := content.get(_NAME), bytes):
            names[index] = "".join(c for c in name.decode("utf-8", "replace") if c.isprintable())[:60]
        time, energy = content.get(_TIME_MS), content.get(_UWS)
        if number == _ENERGY and isinstance(time, int) and isinstance(energy, int):
            looks.append((time * 1_000_000, index, energy))


def fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (number, value) of a protocol buffer's fields: ints, or bytes; it ends where a message makes no sense.

    Source: protobuf.dev/programming-guides/encoding.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind, value = key & 7, 0
        if kind == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            length, at = _varint(message, at)
            if at < 0 or at + length > len(message):
                return
            yield key >> 3, message[at : at + length]
            at += length
        else:
            return
        if at < 0:
            return


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """Return a varint and where it ends; -1 for one that has no end."""
    value = 0
    for shift in range(0, 70, 7):
        if not 0 <= at < len(message):
            return 0, -1
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if byte < 0x80:
            return value & (1 << 64) - 1, at
    return 0, -1
