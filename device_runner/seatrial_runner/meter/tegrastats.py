"""Lines of NVIDIA's tegrastats, JetPack 4 to 7.2: load, temperatures, rails.

Its readings are points in time at 10 Hz at most, so energy is not computed from them: the rails' files are read
instead (`seatrial_runner.meter.jetson`). They tell who else uses the GPU, and how hot it is. The second number of a
rail is a mean since tegrastats was started, the third (JetPack 7.2) another: never used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

OFF_C = -255.0  # a sensor that is switched off tells -256
_DATE = re.compile(r"^\d\d-\d\d-\d{4} \d\d:\d\d:\d\d ")
_RAM = re.compile(r"\bRAM (\d{1,9})/(\d{1,9})MB")
# Thor tells only clocks: GR3D_FREQ @[1000,1000,1000]
_GPU = re.compile(r"\bGR3D_FREQ (?:(\d{1,3})%)?(?:@?\[?(\d{1,6}(?:,\d{1,6})*)\]?)?")
_TEMPERATURE = re.compile(r"\b([\w-]+)@(-?\d{1,4}(?:\.\d{1,4})?)C(?:/-?\d{1,4}(?:\.\d{1,4})?C)?")
_RAIL = re.compile(r"\b([A-Za-z][\w.-]*) (-?\d{1,7})(?:mW)?/-?\d{1,7}(?:mW)?(?:/-?\d{1,7}(?:mW)?)?(?![\w/%])")
MOST_CHARACTERS = 4000


@dataclass(frozen=True)
class Tegrastats:
    """One line. Powers in mW at the moment, temperatures in Celsius; None and empty where it does not tell."""

    ram_used_mb: int | None = None
    ram_total_mb: int | None = None
    gpu_percent: int | None = None
    gpu_mhz: tuple[int, ...] = ()
    temperatures_c: Mapping[str, float] = field(default_factory=dict)  # names in lower case
    rails_mw: Mapping[str, int] = field(default_factory=dict)


def parse_tegrastats(line: str) -> Tegrastats:
    """Return what a line tells; whatever it is, this raises nothing.

    >>> parse_tegrastats("VDD_IN 3140/3208 VDD_GPU 120/130").rails_mw
    {'VDD_IN': 3140, 'VDD_GPU': 120}
    """
    text = _DATE.sub("", line[:MOST_CHARACTERS].strip())
    ram, gpu = _RAM.search(text), _GPU.search(text)
    load = int(gpu[1]) if gpu and gpu[1] else None
    temperatures = {name.lower(): float(value) for name, value in _TEMPERATURE.findall(text)}
    rails = {name: int(value) for name, value in _RAIL.findall(text) if name not in ("RAM", "SWAP", "lfb", "NC")}
    return Tegrastats(
        ram_used_mb=int(ram[1]) if ram else None,
        ram_total_mb=int(ram[2]) if ram else None,
        gpu_percent=load if load is None or load <= 100 else None,
        gpu_mhz=tuple(int(clock) for clock in gpu[2].split(",")) if gpu and gpu[2] else (),
        temperatures_c={name: value for name, value in temperatures.items() if value > OFF_C},
        rails_mw=rails,
    )
