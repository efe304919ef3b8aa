"""What a run brings back beside its samples: sensors over time, power, layers, what was prepared. Part of `records`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Nanoseconds = Annotated[int, Field(ge=0, lt=2**63)]
Bytes = Annotated[int, Field(ge=0, lt=2**53)]
Text = Annotated[str, Field(max_length=4096)]


class Record(BaseModel):
    """Frozen; an unknown key is an error, since device output is untrusted."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class EnergySample(Record):
    """One reading of every counter, at CLOCK_MONOTONIC ``t_ns``; None where a read failed."""

    t_ns: Nanoseconds
    values: tuple[int | None, ...]


class EnergyWindows(Record):
    """Idle, burst, idle: when each began and ended (CLOCK_MONOTONIC ns), inferences in the burst, raw samples.

    ``counters`` and ``samples`` are empty when a program measured: its readings are the run's `PowerTrace`.
    """

    counters: tuple[Text, ...]
    idle_before: tuple[Nanoseconds, Nanoseconds]
    burst: tuple[Nanoseconds, Nanoseconds]
    idle_after: tuple[Nanoseconds, Nanoseconds]
    inferences: int
    samples: tuple[EnergySample, ...]
    unix_offset_ns: int | None = None  # Unix time minus the clock of the windows, where the host reads the meter


class PowerTrace(Record):
    """What a program measured during an energy or sustained run: raw, on the clock of whoever stamped the readings.

    ``t_ns`` is when each reading was taken, and ``power_uw[channel][reading]`` the power in microwatts (None where the
    program said nothing). ``shift_ns``, added to ``t_ns``, gives the agent's CLOCK_MONOTONIC: found from the edges of
    the power when the burst began and ended. None: no edge could be found, ``problem`` says why.
    """

    channels: tuple[Text, ...]
    clock: Literal["device", "host", "meter"]
    t_ns: tuple[int, ...]
    power_uw: tuple[tuple[float | None, ...], ...]
    shift_ns: int | None = None
    problem: Text = ""


class SensorTrace(Record):
    """Sensors read at a steady rate while the model ran, by the agent's CLOCK_MONOTONIC.

    ``sensors`` are ids: ``temperature:ZONE`` in millidegrees Celsius, ``frequency:POLICY`` in kHz, else a meter's
    counter, whose meaning the trial's meter tells.
    """

    sensors: tuple[Text, ...]
    samples: tuple[EnergySample, ...]


class LayerTime(Record):
    """One operator of the optimised graph as the runtime's own profiler timed it, in the order of execution.

    ``provider`` is the unit that ran it: an ONNX Runtime execution provider, a TensorRT precision or "DLA", a Core ML
    compute unit. ``ns`` has one entry per profiled inference.
    """

    name: Text
    op: Text
    provider: Text
    ns: tuple[Nanoseconds, ...]


class LayerProfile(Record):
    """Where the time goes, and which unit ran what. Profiling costs time, so these are shares, not latencies.

    ``promised`` are the units that the target promises to run on; an operator that another one ran has fallen back.
    ``inference_ns`` is the duration of each profiled inference as a whole.
    """

    tool: Text
    promised: tuple[Text, ...]
    layers: tuple[LayerTime, ...]
    inference_ns: tuple[Nanoseconds, ...] = ()

    @property
    def fallbacks(self) -> tuple[LayerTime, ...]:
        """The operators that ran elsewhere than promised; none when nothing was promised."""
        return tuple(layer for layer in self.layers if self.promised and layer.provider not in self.promised)


class Prepared(Record):
    """What became of one unit of preparation: what it was before (``found``) and during (``now``) the session."""

    unit: Text
    found: dict[Text, Text] = Field(default_factory=dict)
    now: dict[Text, Text] = Field(default_factory=dict)
    outcome: Literal["as wanted", "set", "not set", "absent"]
    reason: Text = ""


class Channel(Record):
    """One thing that a meter measures: a rail, a package, a whole phone.

    ``counters`` are the ids under which its files or columns appear in a run, ``paths`` the files. ``quantity`` says
    what their numbers mean, once multiplied by ``scale``: cumulative energy in uJ, power in uW, a voltage and a current
    (in this order) whose product is uW, or a charge and a voltage whose product is uJ. Those with ``in_total`` add up
    to the meter's figure; the others are parts of it, or lie beside it. ``signed`` is False where the sign of a current
    is its driver's taste.
    """

    name: Text
    quantity: Literal["energy", "power", "voltage and current", "charge and voltage"]
    counters: tuple[Text, ...]
    paths: tuple[Text, ...] = ()
    scale: float = 1.0
    wraps_at: int | None = None
    in_total: bool = True
    signed: bool = True


class MeterInfo(Record):
    """Which meter was read: its kind, what it measures, how fast it is, what its numbers mean.

    - ``kind``: a *counter* sums energy up itself, an *averaging* meter gives the mean power since its last reading, a
      *point* meter the power at one moment.
    - ``source``: *file*: the agent reads files on the device; *device program*, *host program*: something else prints.
    - ``rate_hz`` is how often the meter itself has something new; ``resolution`` its least step, in words.
    - ``doubt``: why its figures are uncertain whatever is done; printed with every figure.

    A meter without ``channels`` is one counter in the file ``path``: microjoules per step, value at which it wraps.
    """

    id: Text
    kind: Literal["counter", "averaging", "point"]
    scope: Text
    path: Text = ""
    uj_per_step: float = 1.0
    wraps_at: int | None = None
    source: Literal["file", "device program", "host program"] = "file"
    rate_hz: float | None = None
    resolution: Text = ""
    channels: tuple[Channel, ...] = ()
    doubt: Text = ""

    @property
    def read(self) -> tuple[Channel, ...]:
        """Its channels, also where it is one counter."""
        if self.channels:
            return self.channels
        one = {"counters": (self.id,), "paths": (self.path,), "scale": self.uj_per_step, "wraps_at": self.wraps_at}
        return (Channel.model_validate({"name": self.id, "quantity": "energy", **one}),)

    def files(self) -> dict[str, str]:
        """Return what the agent reads: id of the counter to file. Nothing of a meter that a program reads."""
        if self.source != "file":
            return {}
        return {c: p for channel in self.read for c, p in zip(channel.counters, channel.paths, strict=False)}
