"""A power meter beside a device, read by a program on this host: a row's `meter:` in the inventory."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .spec import Spec
from .units import FrequencyHz, VoltageV

Text = Annotated[str, Field(min_length=1, max_length=1024)]
DEFAULT_RATE_HZ = {"ppk2": 1000.0, "joulescope": 50.0}


class ExternalMeter(Spec):
    """One of: ``command``, any program that prints lines of seconds and watts; ``ppk2``, the serial port of Nordic's
    Power Profiler Kit II; ``joulescope``, a serial number. The last two may be "auto", and need extras of their names.

    ``kind`` and ``scope`` say what the readings are worth: "averaging" (the mean since the last one) or "point", and
    what the meter is wired to. ``rate_hz`` is how many readings come each second; ``voltage_v`` what the kit shall set.
    """

    command: tuple[Text, ...] = ()
    ppk2: Text | None = None
    joulescope: Text | None = None
    kind: Literal["averaging", "point"] = "averaging"
    scope: Annotated[str, Field(min_length=1, max_length=200)] = "what the meter is wired to"
    rate_hz: Annotated[FrequencyHz, Field(gt=0)] | None = None
    voltage_v: Annotated[VoltageV, Field(gt=0)] | None = None

    @property
    def name(self) -> str:
        """Which of the three it is."""
        return "ppk2" if self.ppk2 is not None else "joulescope" if self.joulescope is not None else "command"

    @model_validator(mode="after")
    def _one(self) -> ExternalMeter:
        if sum((bool(self.command), self.ppk2 is not None, self.joulescope is not None)) != 1:
            raise ValueError("a meter needs one of `command:`, `ppk2:` and `joulescope:`")
        if self.ppk2 is not None and self.voltage_v is None:
            raise ValueError("the Power Profiler Kit II measures no voltage; say `voltage: 3.3 V`")
        return self
