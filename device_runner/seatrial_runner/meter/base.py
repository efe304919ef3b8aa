"""What a meter is: a source of energy or power readings, with its kind, scope, rate and resolution stated."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, cast

from ..records import MeterInfo

# A profile's `meters` names them in order of preference; without it, this is the order.
TABLE = {
    "rapl": "seatrial_runner.meter.counters:RaplMeter",
    "hwmon": "seatrial_runner.meter.counters:HwmonEnergyMeter",
    "power": "seatrial_runner.meter.power_files:HwmonPowerMeter",
    "iio": "seatrial_runner.meter.power_files:IioPowerMeter",
    "odpm": "seatrial_runner.meter.odpm:OdpmMeter",
    "perfetto": "seatrial_runner.meter.perfetto:PerfettoMeter",
    "battery": "seatrial_runner.meter.battery:BatteryMeter",
    "iphone": "seatrial_runner.meter.iphone:PhoneBatteryMeter",
    "powermetrics": "seatrial_runner.meter.powermetrics:PowermetricsMeter",
    "jetson": "seatrial_runner.meter.jetson:JetsonRails",
}

POINT_HZ = 100.0  # a point meter below this rate errs by up to a third, however long the window (see docs on meters)
FASTEST_NS = 5_000_000  # sysfs files of power monitors are not worth reading faster
POINT_NS = 7_300_000  # of no simple ratio to the milliseconds that inferences and timers like


class Meter(ABC):
    """A kind of meter: how a device tells that it has one, and what its numbers mean.

    ``LIST`` is POSIX sh that prints lines of words with tabs between, beginning with the meter's name, for whatever of
    its kind the device has; ``denied<TAB>FILE`` for what is there but may not be read, and ``refused<TAB>WHY`` for what
    can't be used as things are. ``$1`` is the serial of a phone that hangs on the machine, or empty. It runs as the
    user that we log in as, and must be quick and change nothing.
    """

    name: ClassVar[str]
    LIST: ClassVar[str]

    @abstractmethod
    def find(self, lines: Sequence[str]) -> Sequence[MeterInfo]:
        """Return the meters that the ``lines`` printed by ``LIST`` tell of, the best first. They are not trusted."""


def get_meter(name: str) -> Meter | None:
    """Return the meter called ``name``; None for one that this version does not know."""
    if name not in TABLE:
        return None
    module, _, attribute = TABLE[name].partition(":")
    return cast(Meter, getattr(importlib.import_module(module), attribute)())


def sample_period_ns(meter: MeterInfo, counter_ns: int) -> int:
    """Return how often the agent is to read the files of ``meter``: a counter every ``counter_ns``, power faster."""
    if meter.kind == "counter":
        return counter_ns
    if meter.kind == "point":
        return POINT_NS
    twice = counter_ns if meter.rate_hz is None else round(0.5e9 / meter.rate_hz)
    return max(FASTEST_NS, min(counter_ns, twice))
