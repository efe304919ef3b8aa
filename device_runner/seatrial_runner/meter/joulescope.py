"""A Joulescope as a program that prints seconds and watts: ``python -m seatrial_runner.meter.joulescope``.

Needs the extra ``[joulescope]``. The instrument measures voltage and current at 1 to 2 MHz and sums energy up by
itself; what is printed is the mean power between its statistics, from that sum.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

FREQUENCY = "50 Hz"  # of the statistics
AUTO = "auto"


class Statistics:
    """Turns the instrument's statistics into (seconds, watts): its energy since the last one, over the time."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._last: tuple[float, float] | None = None

    def take(self, statistics: Mapping[str, Any]) -> None:
        """Take one; the form is that of pyjoulescope's statistics callback."""
        seconds = float(statistics["time"]["range"]["value"][1])
        joules = float(statistics["accumulators"]["energy"]["value"])
        if self._last is not None and seconds > self._last[0]:
            watts = (joules - self._last[1]) / (seconds - self._last[0])
            self._write(f"{seconds:.6f} {watts:.9g}\n")
        self._last = seconds, joules


def main(arguments: list[str]) -> int:
    """Measure until ended. Argument: the serial number, or ``auto``."""
    try:
        import joulescope
    except ImportError:
        print("the package for this meter is not installed: pip install 'seatrial[joulescope]'", file=sys.stderr)
        return 3
    found = [d for d in joulescope.scan() if arguments[0] in (AUTO, str(d.device_serial_number))]
    if len(found) != 1:
        print(f"{len(found)} Joulescopes were found; name one by its serial number", file=sys.stderr)
        return 3
    statistics = Statistics(_print)
    with found[0] as instrument:
        instrument.parameter_set("sensor_power", "on")
        instrument.parameter_set("i_range", "auto")
        instrument.parameter_set("reduction_frequency", FREQUENCY)
        instrument.statistics_callback_register(statistics.take, "sensor")
        instrument.start()
        threading.Event().wait()
    return 0


def _print(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
