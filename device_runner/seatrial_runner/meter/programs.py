"""Meters that are programs on the device: started beside a run, stopped after it, what they printed understood here."""

from __future__ import annotations

import threading
from abc import abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from seatrial_targets.errors import SeatrialError

from ..deadline import Deadline
from ..printable import printable
from ..records import EnergySample, EnergyWindows, MeterInfo
from ..transport.base import Completed, Transport
from .base import Meter

MOST_OUTPUT = 64 << 20
ENDS_SECONDS = 5.0  # what a program may take to end that was ended by its run, before it is told so once more

# The program runs until a file appears in our folder, so that it can be ended over any wire, and by the run beside it;
# after one more reading or so it is asked to end, and may still print what it has. Its children end with this script.
WRAP = r"""
cd "$1" || exit 71
stop=meter.$2.stop
sh -c "$3" </dev/null & job=$!
while [ ! -e "$stop" ] && kill -0 "$job" 2>/dev/null; do sleep .2 2>/dev/null || sleep 1; done
sleep .2 2>/dev/null || sleep 1
rm -f "$stop"
kill -TERM "$job" 2>/dev/null; wait "$job"
exit 0
"""


@dataclass(frozen=True)
class Readings:
    """What a program measured. ``clock`` says whose time ``t_ns`` is: the device's since boot, Unix time, or its own.

    ``rows`` are (t_ns, one whole number per column), in the units of the meter's channels.
    """

    clock: Literal["device", "unix", "meter"]
    columns: tuple[str, ...]
    rows: tuple[tuple[int, tuple[int | None, ...]], ...]


class ProgramMeter(Meter):
    """A meter that a program on the device reads."""

    @abstractmethod
    def script(self, meter: MeterInfo) -> str:
        """Return POSIX sh that measures and prints until it is ended by SIGTERM."""

    @abstractmethod
    def parse(self, output: bytes, meter: MeterInfo) -> Readings:
        """Return what the program's output tells. It is not trusted: what makes no sense is left out."""


class DeviceProgram:
    """Runs a program meter in a thread while the block is on: its `output`, and the `problem` that it had.

    With ``ended_by_run`` a run inside the block was told to end it (`run_in_folder`), which saves a round trip.
    """

    def __init__(
        self, transport: Transport, script: str, name: str, seconds: float, *, ended_by_run: bool = False
    ) -> None:
        self.output, self.problem = b"", ""
        self._ended_by_run = ended_by_run
        self._transport, self._name, self._seconds = transport, name, seconds
        argv = ["sh", "-c", WRAP, "seatrial", transport.root, self._name, script]
        self._thread = threading.Thread(target=self._run, args=(argv,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._ended_by_run and error is None:
            self._thread.join(ENDS_SECONDS)
        if self._thread.is_alive():
            self._stop()
        self._thread.join(30.0)
        if self._thread.is_alive():
            self.problem = self.problem or "it did not end when it was told to"

    def _stop(self) -> None:
        argv = ["sh", "-c", ': > "$1/meter.$2.stop"', "seatrial", self._transport.root, self._name]
        try:
            self._transport.run(argv, deadline=Deadline.after(30.0))
        except SeatrialError as lost:  # then the run has failed, too, or its own deadline ends the program
            self.problem = self.problem or str(lost)

    def _run(self, argv: list[str]) -> None:
        try:
            done = self._transport.run(argv, deadline=Deadline.after(self._seconds), max_output=MOST_OUTPUT)
            self.output = done.stdout
            self.problem = _complaint(done)
        except SeatrialError as error:
            self.problem = str(error)


def _complaint(done: Completed) -> str:
    return "" if done.stdout else f"it printed nothing; it said: {printable(done.stderr, end=True) or 'nothing'}"


def merged(windows: EnergyWindows, readings: Readings, shift_ns: int) -> EnergyWindows:
    """Return ``windows`` with the readings as its samples, ``shift_ns`` added to their times."""
    samples = (EnergySample(t_ns=t + shift_ns, values=values) for t, values in readings.rows if t + shift_ns >= 0)
    return windows.model_copy(update={"counters": readings.columns, "samples": tuple(samples)})
