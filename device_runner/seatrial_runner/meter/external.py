"""Meters that are read by a program on this host: anything that prints seconds and watts, line by line.

A line holds two numbers, with a space or a comma between: the time in seconds by any clock that runs evenly, and the
power in watts; or the watts alone, which are stamped when they arrive. Other lines are left out, as headings are.
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from seatrial_targets.errors import HarnessError
from seatrial_targets.meter import ExternalMeter

from ..printable import printable
from ..records import Channel, MeterInfo

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?"
_LINE = re.compile(rf"\s*({NUMBER})(?:\s*[,;\s]\s*({NUMBER}))?\s*")
MOST_READINGS = 20_000_000
ENDS_S = 5.0
COLUMN = "power"


@dataclass(frozen=True)
class Reading:
    """One line of a program: when (s, by its clock or ours) and how much power (W)."""

    seconds: float
    watts: float


def external_info(row: ExternalMeter) -> MeterInfo:
    """Return the meter of an inventory entry."""
    return MeterInfo(
        id=f"external:{row.name}",
        kind=row.kind,
        scope=row.scope,
        source="host program",
        rate_hz=row.rate_hz,
        resolution="as the meter has it",
        channels=(Channel(name=COLUMN, quantity="power", counters=(COLUMN,)),),
    )


def command_of(row: ExternalMeter) -> list[str]:
    """Return the program to start. Meters that have a package of their own are read by a module of ours."""
    if row.ppk2 is not None:
        voltage = row.voltage_v if row.voltage_v is not None else 0.0
        return [sys.executable, "-m", "seatrial_runner.meter.ppk2", row.ppk2, repr(voltage)]
    if row.joulescope is not None:
        return [sys.executable, "-m", "seatrial_runner.meter.joulescope", row.joulescope]
    return list(row.command)


class HostProgram:
    """Runs a meter's program while the block is on, and keeps what it prints."""

    def __init__(self, argv: Sequence[str]) -> None:
        self.argv = list(argv)
        self.readings: list[Reading] = []
        self.problem = ""
        self._said = b""

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise HarnessError(f"the meter's program {self.argv[0]} can't be started: {error.strerror}") from error
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._read, self._listen)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        died = self._process.poll()
        self._process.terminate()
        try:
            self._process.wait(ENDS_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread in self._threads:
            thread.join(ENDS_S)
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        if died is not None:
            said = printable(self._said, end=True) or "nothing"
            self.problem = f"the meter's program ended by itself with {died}; it said: {said}"

    def wait_for_readings(self, seconds: float) -> None:
        """Wait until the first reading, so that nothing is measured for a meter that does not answer.

        Raises HarnessError.
        """
        until = time.monotonic() + seconds
        while not self.readings:
            if self._process.poll() is not None or time.monotonic() > until:
                self._process.kill()
                self._threads[1].join(1.0)  # its last words
                said = printable(self._said, end=True) or "nothing"
                raise HarnessError(f"the meter's program {self.argv[0]} gives no readings; it said: {said}")
            time.sleep(0.01)

    def wait_for_another(self, seconds: float) -> None:
        """Wait for a reading from after now, as the last window's end lies between two; no longer than ``seconds``.

        It is the second that comes: the first may have been on its way.
        """
        until, had = time.monotonic() + seconds, len(self.readings)
        while len(self.readings) < had + 2 and self._process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            arrived = time.monotonic()
            reading = parse_line(line, arrived)
            if reading is not None and len(self.readings) < MOST_READINGS:
                self.readings.append(reading)

    def _listen(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._said = (self._said + line)[-4000:]


def parse_line(line: bytes, arrived: float) -> Reading | None:
    """Return the reading in a line, or None.

    >>> parse_line(b"12.5, 0.75", 99.0)
    Reading(seconds=12.5, watts=0.75)
    >>> parse_line(b"0.75", 99.0)
    Reading(seconds=99.0, watts=0.75)
    """
    match = _LINE.fullmatch(line[:200].decode("ascii", "replace"))
    if match is None:
        return None
    numbers = [float(number) for number in match.groups() if number is not None]
    if any(abs(number) > 1e15 for number in numbers):
        return None
    return Reading(arrived, numbers[0]) if len(numbers) == 1 else Reading(*numbers)


def in_order(readings: Sequence[Reading]) -> tuple[list[int], list[float]]:
    """Return times in ns from the first reading on, and powers in uW; what goes back in time is left out."""
    times: list[int] = []
    powers: list[float] = []
    for reading in readings:
        t_ns = round((reading.seconds - readings[0].seconds) * 1e9)
        if not times or t_ns > times[-1]:
            times.append(t_ns)
            powers.append(reading.watts * 1e6)
    return times, powers
