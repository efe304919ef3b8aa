"""What the device said of itself over the session: temperatures and clocks, from wherever a trial keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from seatrial_runner.records import DeviceState, Run, SensorTrace, Trial

Points = tuple[tuple[float, float], ...]


@dataclass
class _Found:
    temperatures: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    clocks: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def done(self) -> Readings:
        """Return all that was found, in the order of time."""
        return Readings(_ordered(self.temperatures), _ordered(self.clocks))


@dataclass(frozen=True)
class Readings:
    """Sensor to its (seconds, value), in the order of time: degrees Celsius, and MHz."""

    temperatures: Mapping[str, Points]
    clocks: Mapping[str, Points]


def readings(trial: Trial) -> Readings:
    """Return every reading of a temperature and a clock that the trial holds, in seconds of the session.

    Sensors that the agent reads have a clock of their own; the last reading is taken to be at the end of the run.
    """
    found = _Found()
    for state in _states(trial):
        at = (state.unix_ns - trial.started_unix_ns) / 1e9
        for name, value in state.temperatures_c.items():
            found.temperatures.setdefault(name, []).append((at, value))
        for name, khz in state.frequencies_khz.items():
            found.clocks.setdefault(name, []).append((at, khz / 1000))
    for run in trial.runs:
        trace = run.result.sensors if run.result else None
        if trace and trace.samples:
            _add(found, trace, _clock_of(run, trace, trial.started_unix_ns))
    return found.done()


def during(trace: SensorTrace, begin_ns: int) -> Readings:
    """Return the temperatures and clocks of one run, in seconds after ``begin_ns`` on the agent's clock."""
    found = _Found()
    _add(found, trace, lambda t_ns: (t_ns - begin_ns) / 1e9)
    return found.done()


def _clock_of(run: Run, trace: SensorTrace, origin_unix_ns: int) -> Callable[[int], float]:
    end = run.started_unix_ns + run.duration_ns - origin_unix_ns
    last = trace.samples[-1].t_ns
    return lambda t_ns: (end - (last - t_ns)) / 1e9


def _add(found: _Found, trace: SensorTrace, clock: Callable[[int], float]) -> None:
    for column, sensor in enumerate(trace.sensors):
        kind, _, name = sensor.partition(":")
        place = {"temperature": found.temperatures, "frequency": found.clocks}.get(kind)
        if place is None:
            continue
        for sample in trace.samples:
            value = sample.values[column] if column < len(sample.values) else None
            if value is not None:
                place.setdefault(name, []).append((clock(sample.t_ns), value / 1000))


def _states(trial: Trial) -> Iterator[DeviceState]:
    states = [trial.before, *(state for run in trial.runs for state in (run.before, run.after)), trial.after]
    yield from (state for state in states if state is not None)


def _ordered(found: Mapping[str, list[tuple[float, float]]]) -> dict[str, Points]:
    return {name: tuple(sorted(set(points))) for name, points in sorted(found.items())}
