"""What the device said of itself over the session: temperatures and clocks, from wherever a trial keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from seatrial_runner.records import DeviceState, Trial

Points = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Readings:
    """Sensor to its (seconds of the session, value), in the order of time: degrees Celsius, and MHz."""

    temperatures: Mapping[str, Points]
    clocks: Mapping[str, Points]


def readings(trial: Trial) -> Readings:
    """Return every reading of a temperature and a clock that the trial holds."""
    temperatures: dict[str, list[tuple[float, float]]] = {}
    clocks: dict[str, list[tuple[float, float]]] = {}
    for state in _states(trial):
        at = (state.unix_ns - trial.started_unix_ns) / 1e9
        for name, value in state.temperatures_c.items():
            temperatures.setdefault(name, []).append((at, value))
        for name, khz in state.frequencies_khz.items():
            clocks.setdefault(name, []).append((at, khz / 1000))
    return Readings(_ordered(temperatures), _ordered(clocks))


def _states(trial: Trial) -> Iterator[DeviceState]:
    yield from (state for state in (trial.before, trial.after) if state is not None)


def _ordered(found: Mapping[str, list[tuple[float, float]]]) -> dict[str, Points]:
    return {name: tuple(sorted(set(points))) for name, points in sorted(found.items())}
