"""Nordic's Power Profiler Kit II as a program that prints seconds and watts: ``python -m seatrial_runner.meter.ppk2``.

Needs the extra ``[ppk2]``. The kit samples the current at 100 kHz; here it is averaged over milliseconds. It does not
measure the voltage: in source mode it sets it, in ampere mode (voltage 0 given here: none is set) it must be told.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

PER_SECOND = 100_000
AVERAGED = 100  # samples: 1 ms
AUTO = "auto"


def averages(currents_ua: Iterator[float], volts: float) -> Iterator[tuple[float, float]]:
    """Yield (seconds, watts) for every ms of samples in uA, by the kit's own clock: the number of samples."""
    total, count, ms = 0.0, 0, 0
    for current in currents_ua:
        total += current
        count += 1
        if count == AVERAGED:
            ms += 1
            yield ms * AVERAGED / PER_SECOND, total / count * 1e-6 * volts
            total, count = 0.0, 0


def samples(kit: Any) -> Iterator[float]:
    """Yield the kit's samples in uA for ever."""
    while True:
        data = kit.get_data()
        if data:
            found = kit.get_samples(data)
            yield from found[0] if isinstance(found, tuple) else found  # since 0.9 with the digital channels
        else:
            time.sleep(0.001)


def main(arguments: list[str]) -> int:
    """Measure until ended. Arguments: the serial port or ``auto``, and the voltage in V."""
    port, volts = arguments[0], float(arguments[1])
    try:
        from ppk2_api.ppk2_api import PPK2_API
    except ImportError:
        print("the package for this meter is not installed: pip install 'seatrial[ppk2]'", file=sys.stderr)
        return 3
    if not 0.8 <= volts <= 5.0:
        print(f"{volts} V: the kit needs to be told the voltage, 0.8 to 5 V (`voltage: 3.3 V`)", file=sys.stderr)
        return 2
    if port == AUTO:
        found = PPK2_API.list_devices()
        if not found:
            print("no Power Profiler Kit II was found", file=sys.stderr)
            return 3
        port = found[0] if isinstance(found[0], str) else found[0][0]
    kit = PPK2_API(port, timeout=1, write_timeout=1)
    kit.get_modifiers()
    kit.use_source_meter()
    kit.set_source_voltage(round(volts * 1000))
    kit.toggle_DUT_power("ON")
    kit.start_measuring()
    for seconds, watts in averages(samples(kit), volts):
        print(f"{seconds:.3f} {watts:.9g}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
