"""Power over time, from whatever a meter's readings are: a counter's steps, rails, voltage and current, a program."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from seatrial_runner.records import Channel, EnergySample, MeterInfo, PowerTrace

Watts = tuple[tuple[int, float], ...]  # (ns, W)


def from_samples(names: Sequence[str], samples: Sequence[EnergySample], meter: MeterInfo) -> Watts:
    """Return the sum of the meter's channels that count, at every sample that holds them all.

    Of counters it is the mean power since the sample before; a step backwards is a wrap, or left out. Empty when the
    samples lack one of the meter's columns.
    """
    channels = [channel for channel in meter.read if channel.in_total]
    if not channels or any(name not in names for channel in channels for name in channel.counters):
        return ()
    series = [_of_channel(channel, names, samples) for channel in channels]
    times = set.intersection(*({t for t, _ in one} for one in series))
    return tuple((t, sum(dict(one)[t] for one in series)) for t in sorted(times)) if len(series) > 1 else series[0]


def _of_channel(channel: Channel, names: Sequence[str], samples: Sequence[EnergySample]) -> Watts:
    columns = [names.index(name) for name in channel.counters]
    readings = [
        (sample.t_ns, [sample.values[column] for column in columns])
        for sample in samples
        if max(columns) < len(sample.values)
    ]
    known = [(t, [v for v in values if v is not None]) for t, values in readings if None not in values]
    if channel.quantity != "energy":
        return tuple((t, math.prod(values) * channel.scale * 1e-6) for t, values in known)
    found = []
    for (t0, (v0, *_)), (t1, (v1, *_)) in pairwise(known):
        step = v1 - v0 + (channel.wraps_at or 0 if v1 < v0 else 0)
        if t1 > t0 and step >= 0:
            found.append((t1, step * channel.scale * 1e-6 / ((t1 - t0) * 1e-9)))
    return tuple(found)


def from_program(trace: PowerTrace, meter: MeterInfo) -> Watts:
    """Return what a program measured, on the agent's clock where that is known, summed over the channels that count."""
    counted = {name for channel in meter.channels if channel.in_total for name in (channel.name, *channel.counters)}
    columns = [n for n, name in enumerate(trace.channels) if not counted or name in counted]
    rows = [trace.power_uw[column] for column in columns if column < len(trace.power_uw)]
    found = []
    for place, t_ns in enumerate(trace.t_ns):
        values = [row[place] for row in rows if place < len(row)]
        known = [value for value in values if value is not None]
        if known and len(known) == len(rows):
            found.append((t_ns + (trace.shift_ns or 0), sum(known) * 1e-6))
    return tuple(found)
