"""Numbers with units: '18 ms' in a file, 18_000_000 in a name that ends in `_ns`.

Parsing is exact (decimal, not binary, arithmetic) and rounds once, to the unit that is kept: whole ns, whole bytes.
A bare number is refused where its unit would be a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, ValidationInfo, WithJsonSchema

from .errors import UserError

DURATION_NS: Mapping[str, int] = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
SIZE_BYTES: Mapping[str, int] = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
ENERGY_NJ: Mapping[str, int] = {"nJ": 1, "uJ": 10**3, "mJ": 10**6, "J": 10**9, "kJ": 10**12}
POWER_UW: Mapping[str, int] = {"uW": 1, "mW": 10**3, "W": 10**6, "kW": 10**9}
DECIBEL: Mapping[str, int] = {"dB": 1}
PERCENT: Mapping[str, int] = {"%": 1}
CELSIUS: Mapping[str, int] = {"C": 1}
FREQUENCY: Mapping[str, int] = {"Hz": 1, "kHz": 10**3, "MHz": 10**6}
VOLTAGE_MV: Mapping[str, int] = {"mV": 1, "V": 1000}

_NUMBER = re.compile(r"\s*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?)\s*([^\s\d]*)\s*", re.ASCII)
_LIMIT = Decimal(2**53)  # JSON readers elsewhere keep whole numbers exactly only below this
_SPELLINGS = {"sec": "s", "secs": "s", "second": "s", "seconds": "s", "msec": "ms", "usec": "us", "nsec": "ns"}
_MICRO = str.maketrans({"\N{MICRO SIGN}": "u", "\N{GREEK SMALL LETTER MU}": "u"})

FROM_FILE = "from_file"
"""Key of pydantic's validation context: true while a file is read, where a bare number has no unit."""


def duration_ns(text: str) -> int:
    """Return '18 ms' as 18_000_000. Units: ns, us, ms, s, min, h. Raises UserError."""
    return _whole(text, DURATION_NS, "ms", "duration")


def size_bytes(text: str) -> int:
    """Return '350 MB' as 350_000_000 and '1 MiB' as 1_048_576. Raises UserError."""
    return _whole(text, SIZE_BYTES, "MB", "size")


def energy_mj(text: str) -> float:
    """Return '40 mJ' as 40.0 and '0.04 J' as 40.0. Raises UserError."""
    return float(_quantity(text, ENERGY_NJ, "mJ", "energy") / ENERGY_NJ["mJ"])


def power_mw(text: str) -> float:
    """Return '15 W' as 15000.0. Raises UserError."""
    return float(_quantity(text, POWER_UW, "W", "power") / POWER_UW["mW"])


def decibel(text: str | float) -> float:
    """Return '15 dB', or a bare 15, as 15.0. Raises UserError."""
    return float(_quantity(_with_default(text, "dB"), DECIBEL, "dB", "level", signed=True))


def celsius(text: str) -> float:
    """Return '70 C' as 70.0. Raises UserError."""
    return float(_quantity(text, CELSIUS, "C", "temperature", signed=True))


def frequency_hz(text: str) -> float:
    """Return '1 kHz' as 1000.0. Raises UserError."""
    return float(_quantity(text, FREQUENCY, "Hz", "frequency"))


def voltage_v(text: str) -> float:
    """Return '3300 mV' as 3.3. Raises UserError."""
    return float(_quantity(text, VOLTAGE_MV, "V", "voltage") / VOLTAGE_MV["V"])


def ratio(text: str | float) -> float:
    """Return '5 %' as 0.05; a bare 0.05 is 0.05. Raises UserError for anything outside 0 to 1."""
    percent = isinstance(text, str) and text.rstrip().endswith("%")
    number = _quantity(str(text) if percent else _with_default(text, "%"), PERCENT, "%", "ratio", signed=True)
    value = float(number / 100) if percent else float(number)
    if not 0 <= value <= 1:
        raise UserError(f"{_shown(text)} is not between 0 and 1; write '5 %' or 0.05")
    return value


def format_duration(ns: float) -> str:
    """Return 4_312_345 as '4.31 ms': three digits, the largest unit up to s that keeps it above 1."""
    return _format(ns, {unit: DURATION_NS[unit] for unit in ("ns", "us", "ms", "s")}, digits=3)


def format_size(size: float) -> str:
    """Return 5_123_456 bytes as '5.12 MB': three digits, decimal units."""
    return _format(size, {unit: SIZE_BYTES[unit] for unit in ("B", "kB", "MB", "GB", "TB")}, digits=3)


def format_energy(energy: float) -> str:
    """Return 40.25 mJ as '40.2 mJ': three digits."""
    return _format(energy * ENERGY_NJ["mJ"], ENERGY_NJ, digits=3)


def exact_duration(ns: int) -> str:
    """Return ``ns`` as text that `duration_ns` reads back unchanged, in the largest unit that divides it."""
    return _exact(ns, {unit: DURATION_NS[unit] for unit in ("ns", "us", "ms", "s")})


def exact_size(size: int) -> str:
    """Return ``size`` in bytes as text that `size_bytes` reads back unchanged: '350 MB', '4 GiB'."""
    return _exact(size, SIZE_BYTES)


def exact_energy(energy: float) -> str:
    """Return ``energy`` in mJ as text that `energy_mj` reads back unchanged."""
    return f"{energy!r} mJ"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _with_default(value: str | float, unit: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{_shown(value)} is not a number")
    text = str(value)
    return text + unit if text[-1:].isdigit() or text[-1:] == "." else text


def _whole(text: str, units: Mapping[str, int], example: str, kind: str) -> int:
    return int(_quantity(text, units, example, kind).to_integral_value())


def _quantity(text: str, units: Mapping[str, int], example: str, kind: str, signed: bool = False) -> Decimal:
    match = _NUMBER.fullmatch(text) if isinstance(text, str) and len(text) < 64 else None
    if match is None:
        raise UserError(f"{_shown(text)} is not a {kind}; write for example '18 {example}'")
    number, unit = Decimal(match[1]), match[2].translate(_MICRO)
    if not unit:
        raise UserError(f"{match[1]} has no unit; write '{match[1]} {example}'")
    if unit not in units:
        raise UserError(f"{unit!r} is not a unit of {kind}{_near(unit, units)}; use one of {', '.join(units)}")
    value = number * units[unit]
    if value < 0 and not signed:
        raise UserError(f"{_shown(text)} is negative; a {kind} can't be")
    if abs(value) >= _LIMIT:
        raise UserError(f"{_shown(text)} is out of range")
    return value


def _near(unit: str, units: Mapping[str, int]) -> str:
    spelled = unit.lower()
    near = _SPELLINGS.get(spelled) or next((known for known in units if known.lower() == spelled), "")
    return f" (did you mean {near!r}?)" if near in units else ""


def _format(value: float, units: Mapping[str, int], digits: int) -> str:
    rounded = abs(float(f"{value:.{max(3, digits)}g}"))  # so that 999.6 us becomes 1.00 ms and not 1000 us
    fitting = [unit for unit, factor in units.items() if rounded >= factor]
    unit = fitting[-1] if fitting else next(iter(units))
    scaled = value / units[unit]
    whole = len(str(int(abs(scaled))))
    places = 0 if units[unit] == 1 and float(value).is_integer() else max(0, digits - whole)
    return f"{scaled:.{places}f} {unit}"


def _exact(value: int, units: Mapping[str, int]) -> str:
    dividing = [unit for unit, factor in units.items() if value % factor == 0]
    unit = max(dividing, key=lambda name: units[name]) if value else dividing[0]
    return f"{value // units[unit]} {unit}"


def _reader(parse: Callable[[Any], float], example: str, bare: bool) -> BeforeValidator:
    def read(value: object, info: ValidationInfo) -> object:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if number and not bare and not (info.context or {}).get(FROM_FILE):
            return value  # made by Python code, under a name that ends in the unit
        if number and not bare:
            raise ValueError(f"{value} has no unit; write '{value} {example}'")
        try:
            return parse(value)
        except UserError as error:
            raise ValueError(str(error)) from None

    return BeforeValidator(read)


def _schema(units: Mapping[str, int], example: str) -> WithJsonSchema:
    names = "|".join(re.escape(unit) for unit in units)
    return WithJsonSchema(
        {"type": "string", "pattern": rf"^\s*[0-9.]+([eE][-+]?[0-9]+)?\s*({names})\s*$", "examples": [example]}
    )


CelsiusC = Annotated[
    float,
    _reader(celsius, "C", False),
    PlainSerializer(lambda degrees: f"{degrees!r} C", str, "json"),
    _schema(CELSIUS, "70 C"),
]
FrequencyHz = Annotated[
    float,
    _reader(frequency_hz, "Hz", False),
    PlainSerializer(lambda hz: f"{hz!r} Hz", str, "json"),
    _schema(FREQUENCY, "1 kHz"),
]
VoltageV = Annotated[
    float,
    _reader(voltage_v, "V", False),
    PlainSerializer(lambda volts: f"{volts!r} V", str, "json"),
    _schema(VOLTAGE_MV, "3.3 V"),
]
_NUMBER_OR_TEXT = {"type": ["number", "string"]}
DurationNs = Annotated[
    int, _reader(duration_ns, "ms", False), PlainSerializer(exact_duration, str, "json"), _schema(DURATION_NS, "18 ms")
]
SizeBytes = Annotated[
    int, _reader(size_bytes, "MB", False), PlainSerializer(exact_size, str, "json"), _schema(SIZE_BYTES, "350 MB")
]
EnergyMj = Annotated[
    float, _reader(energy_mj, "mJ", False), PlainSerializer(exact_energy, str, "json"), _schema(ENERGY_NJ, "40 mJ")
]
Ratio = Annotated[float, _reader(ratio, "%", True), WithJsonSchema({**_NUMBER_OR_TEXT, "examples": ["5 %", 0.05]})]
Decibel = Annotated[float, _reader(decibel, "dB", True), WithJsonSchema({**_NUMBER_OR_TEXT, "examples": ["15 dB"]})]
